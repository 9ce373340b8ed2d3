// Package certs keeps certificates that are read from files, and reads them
// again when the files change: connections that are made after that see the
// new ones, those that are open stay.
//
//	k := certs.New(log)
//	cert, err := k.Pair("radius.tls", "server.pem", "server.key")   read now; an error ends the start
//	go k.Run(ctx)                                                   from here on the old one stays where the new does not load
//	cert()                                                          as the files are now
//
// Map: keeper.go (Keeper, its watch), names.go (whose a
// certificate is), expiry.go (what ends soon).
package certs
