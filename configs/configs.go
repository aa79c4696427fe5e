// Package configs is what users start from: an example trueup.yaml, the flows and the mappings that come with trueup.
package configs

import "embed"

// FS holds trueup.yaml, flows/*.yaml and, for each system, mappings/<system>.yaml with its tests beside it.
//
//go:embed *.yaml */*.yaml
var FS embed.FS
