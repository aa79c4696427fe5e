// Package all is the list of systems trueup speaks to. A new system is one line here.
package all

import (
	"github.com/trueup-sync/trueup/connectors"
	"github.com/trueup-sync/trueup/connectors/connectwise"
	"github.com/trueup-sync/trueup/connectors/partnercenter"
)

// Systems are the known systems, in the order in which they are shown.
var Systems = []connectors.System{
	partnercenter.System,
	connectwise.System,
}

// Descriptors are the systems' descriptors by their word in YAML.
func Descriptors() map[string]connectors.Descriptor {
	descriptors := map[string]connectors.Descriptor{}
	for _, s := range Systems {
		descriptors[s.Descriptor.System] = s.Descriptor
	}
	return descriptors
}

// Find finds a system by its word in YAML.
func Find(name string) (connectors.System, bool) {
	for _, s := range Systems {
		if s.Descriptor.System == name {
			return s, true
		}
	}
	return connectors.System{}, false
}
