// Package alert tells somebody at once what cannot wait until they read the log.
//
//	log.Warn("a login was reported by its owner", "account", id, alert.Kind("reported"))
//	         -> the log, and POST alerts.webhook {"time", "kind", "text", "details"}
//
// A log record with a Kind is an alert; everything else about it is as for any
// record: no secret is in it. Alerts wait in a short queue and are sent in
// order by one goroutine, with a few tries each. What cannot be sent is said in
// the log; nothing that the server does waits for it.
package alert
