// Package site sets up what an office has, for tests of the whole program: a
// directory (slapd), a running vssgate, NASes and the phones of its users.
//
//	s := site.Start(t, site.Options{})
//	phone := s.Phone(1)                                   // of user0001
//	nas := s.NAS(site.Asks)
//	asked := nas.Ask(site.Request{User: "user0001", Password: "password-0001"})
//	nas.Ask(site.Request{User: "user0001", Password: phone.Code(), State: asked.State})
//
// The NAS shares no code with the server: packets are put together and taken
// apart by hand, so that the two are a test of each other. Every answer must
// carry a Message-Authenticator before everything else.
//
// Map: site.go (directory, node, configuration), nas.go (the NAS's side of
// RADIUS), phone.go (VssID), records.go (audit and metrics), reload.go,
// recipe.go (what NASes are told to have).
package site
