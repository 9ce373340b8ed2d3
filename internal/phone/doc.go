// Package phone is a stand-in for VssID: a client that speaks only the phone
// API, for tests, pilots and the demo.
//
//	key, err := phone.OpenKey("phone.key")        // made when there is none, mode 0600
//	c, err := phone.New("http://127.0.0.1:8080", key)
//	c.Enrol(ctx, phone.Enrolment{ActivationCode: code, Name: "demo", Platform: "android", AppVersion: "1.6.8"})
//	list, err := c.Logins(ctx, time.Minute, "")   // waits until a login is open
//	c.Approve(ctx, list.Logins[0].ID, "42")
//
// It shares no code with the server: what it sends is made from the contract
// alone, so that the two are a test of each other.
//
// Map: key.go (the device's key and its file), client.go (signed requests),
// calls.go (the calls of the API), commands.go (vssgate phone ...), watch.go
// (logins as they come, answered by key press), screen.go (what VssID shows).
package phone
