// Package storetest is the conformance suite of login.Store: the promises in
// that interface's comments, as tests. Every implementation runs it.
//
//	Run       one node (suite.go: records and indexes; marks.go: counters, marks, changes)
//	RunNodes  several nodes of one installation at once (nodes.go: races, who sees what)
//
// Keys begin with a random prefix of the test, so one server may serve all
// tests, also at the same time. Nothing waits for a fixed time: what happens
// later is asked for until the store's own clock says that it is due.
package storetest
