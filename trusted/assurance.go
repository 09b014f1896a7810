package trusted

import (
	"strings"

	"github.com/payunit/payunit/channel"
)

// Assured is a module that knows how well it is protected; one that does not
// say counts as channel.AssuranceUnknown.
type Assured interface{ Assurance() channel.Assurance }

// Weakest returns the level of the weakest of some modules, which is that of
// what they make up; of no modules, channel.AssuranceUnknown.
func Weakest(modules ...any) channel.Assurance {
	if len(modules) == 0 {
		return channel.AssuranceUnknown
	}
	weakest := channel.AssuranceHardware
	for _, m := range modules {
		level := channel.AssuranceUnknown
		if a, ok := m.(Assured); ok {
			level = a.Assurance()
		}
		weakest = min(weakest, level)
	}
	return weakest
}

// levels are the words of the levels in a declared class.
var levels = []channel.Assurance{channel.AssuranceSoftware, channel.AssuranceIsolated, channel.AssuranceHardware}

// DeclareClass makes what a device declares of itself in a handshake, which
// binds it: the class of the device and the level of its weakest module,
// "phone/software".
func DeclareClass(class string, level channel.Assurance) string { return class + "/" + level.String() }

// DeclaredLevel reads the level in a declared class; where there is none, or one
// that is not known, it is channel.AssuranceUnknown. A device declares it by
// itself: it can be no better than what the device's evidence proves.
func DeclaredLevel(declared string) channel.Assurance {
	i := strings.LastIndexByte(declared, '/')
	for _, l := range levels {
		if i >= 0 && declared[i+1:] == l.String() {
			return l
		}
	}
	return channel.AssuranceUnknown
}
