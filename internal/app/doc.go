// Package app puts the parts together: it alone reads the configuration and
// starts goroutines. Parts receive plain values and block in Serve or Run.
//
//	New:  configuration -> keys, store, audit, texts, people, push, engine, front ends (nothing listens yet)
//	Run:  bind every listener -> "vssgate ready" -> serve until ctx ends -> drain -> close the store
//
// Map: app.go (life), build.go (configuration to parts), directories.go (first
// factors), web.go (phone API, metrics, health), operate.go (admin commands),
// metrics.go, doctor.go and doctor_outside.go (each dependency tried, without a daemon).
package app
