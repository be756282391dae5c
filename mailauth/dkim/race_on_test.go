//go:build race

package dkim

// slow is by how much the race detector slows us down.
const slow = 10
