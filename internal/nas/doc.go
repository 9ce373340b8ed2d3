// Package nas knows what NASes are like.
//
//	ratchets.go   which of them sign their requests: remembered over restarts and nodes
package nas
