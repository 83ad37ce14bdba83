package main

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// release is set by the linker.
var release = "0.1.0-dev"

// version says what this is, as exactly as the build knows.
func version() string {
	var v strings.Builder
	v.WriteString("bellwether " + release)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v.WriteString(" (" + s.Value[:12] + ")")
			}
		}
	}
	return v.String() + " " + runtime.Version()
}
