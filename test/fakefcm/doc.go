// Package fakefcm is a strict stand-in for Firebase Cloud Messaging, for tests
// and for the demonstration: a small program, not a recorder of calls.
//
//	fcm, err := fakefcm.Start("127.0.0.1:0")
//	push.NewFCM(push.Options{CredentialsJSON: fcm.CredentialsJSON(), Endpoint: fcm.Endpoint(), ...})
//	messages, err := fcm.Wait(ctx, 1)
//
// It refuses what FCM refuses, and where FCM is lenient it is strict: unknown
// and repeated fields at every level, more or fewer than one target, data that
// is not strings, reserved keys, sizes, time to live, APNs headers, and any
// bearer that its own token end point has not issued for an assertion signed by
// the service account with the one scope that is needed (RFC 7523).
//
//	POST /token                              -> {"access_token", "expires_in", "token_type"}
//	POST /v1/projects/{project}/messages:send -> {"name": "projects/{project}/messages/{id}"}
//
// Script gives the next answers another shape: refusals with the details that
// FCM sends, broken and slow answers, duplicates and late deliveries.
//
// Map: server.go (start, what was accepted, what arrived), token.go (the token
// end point), send.go (the message end point), schema.go and message.go (what
// a message may be), json.go (reading JSON strictly), fault.go (faults).
package fakefcm
