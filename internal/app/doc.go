// Package app puts the parts together: it alone reads the configuration and
// starts goroutines. Parts receive plain values and block in Serve or Run.
//
//	New:  configuration -> keys, store, audit, texts, people, push, engine, front ends (nothing listens yet)
//	Run:  bind every listener -> "vssgate ready" -> serve until ctx ends -> drain -> close the store
//
// A configuration comes to life as settings, made whole before they are used; a
// reload makes others and puts them in the place of those there are.
//
// Map: app.go (life), build.go (parts that stay), settings.go and directories.go
// (what a reload replaces), reload.go, web.go (phone API, metrics, health), operate.go (admin commands),
// metrics.go, doctor.go and doctor_outside.go
// (each dependency tried, without a daemon), copy.go (from one store to the other).
package app
