// Package otp makes and compares the codes that people type, and holds the
// keys they are made from. It is pure: no clock, no network, no store; it
// decides nothing and remembers nothing.
//
//	keys, err := otp.ParseKeys(secretKeyFile)      // one base64 line a key, the first makes, all verify
//	code := keys.Code(attemptID, 6)                // "042917": the same each time it is asked for
//	right := keys.VerifyCode(attemptID, 6, typed)  // in constant time
//
//	step, right := otp.VerifyTimeCode(secret, typed, now, lastStep)  // of an authenticator app
//
// A code is never stored. It is derived from the installation's key and the
// attempt's id, so VssID can show it again after the app was closed, and who
// steals the store does not get it.
//
// Map: keys.go (sub-keys by HKDF, MACs, sealing), code.go (codes of
// logins), timecode.go (authenticator apps), onetime.go (recovery and help-desk codes).
package otp
