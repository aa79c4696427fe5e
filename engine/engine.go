// Package engine runs the cycle.
package engine
