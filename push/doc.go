// Package push tells phones that a login waits, and that it has ended: through
// Firebase Cloud Messaging, or through VssID's own push service (a webhook). A
// message carries the login's id and its deadline: no code, number, name or
// address. The app fetches those with its own key.
//
//	core -> Prompter.Prompt(login, person)      returns at once
//	        worker  -> Devices.Targets(person)  whom to tell
//	                -> Sender.Send, one call per device, side by side
//	                <- unregistered             -> Devices.ForgetToken
//	core -> Prompter.Closed(login, person)      the same, with "login.closed"
//	core -> Prompter.Notice(person, word)       the same, with "notice"
//
// A login never waits for a push and never fails by one: whoever opens VssID
// sees the code, pushed or not. While the breaker is open Ready says so, and
// the prompt at the NAS tells the user that the phone will stay silent.
//
// The service guards itself: each call has at most CallTimeout and never more
// than the login has left; calls that fail in a row, or one that shows a fault
// of the configuration, open the breaker; a full queue sheds, counted.
//
// Map: prompter.go (queue and workers; implements login.Prompter), fcm.go (the
// connection to FCM), message.go (what it is sent), outcome.go (what came of it),
// webhook.go (the same for VssID's own service), breaker.go (when not to try).
package push
