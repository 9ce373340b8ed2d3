// Package nas knows what NASes are like: what of each make is known beforehand,
// and what the running ones have shown.
//
//	kinds.go      the makes that are known, each a file of kinds/: presets and recipe
//	recipe.go     what to type on a NAS for a client, and here
//	page.go       the same for docs/nas.md
//	ratchets.go   who signs its requests: remembered over restarts and nodes
//	timers.go     how long they wait: kept, and warned of when hold is longer
//
// A kind is data: a new one is a file, no code. What is only general knowledge
// is marked so and printed with "confirm on your version".
package nas
