// Package plan decides.
package plan
