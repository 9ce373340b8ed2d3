// Package phoneapi is what VssID speaks to: JSON over HTTPS.
//
//	phone -> POST /v1/devices {activation code, public key, ...}     201 {device_id, account}
//	phone -> GET  /v1/logins?wait=60&since=VERSION                   200 {version, logins: [{id, code, ...}]}
//	phone -> POST /v1/logins/{id}/answer {"answer": "approve", ...}  200 {"verdict": "accepted"}
//
// Every request carries a compact JWS signed with the device's own key, over
// method, target, body and time, and works once. Before a handler runs, the
// request has been read, bounded, verified, marked as used and paced:
//
//	ServeHTTP -> receive (body) -> authenticate (signature, device, clock, once) -> huma -> handler
//
// VssID's own servers ask under /v1/persons, with a token instead of a
// signature, and only for what they may.
//
// The server's clock is the store's. What a login is, the Engine knows; whom a
// device belongs to, package enrol. A device is read from the store for each
// request, and once more after a long poll: a revoked one sees nothing.
//
// Map, in reading order: api.go (options, routes, serving), calls.go (the
// handlers of a device's own record), logins.go (listing and answering), persons.go
// (the handlers of VssID's servers), backend.go (their tokens and rights),
// authenticate.go, signature.go (pure), key.go (pure), limits.go, polls.go,
// problem.go (every error, once); witness.go
// (answers of before, verified again).
package phoneapi
