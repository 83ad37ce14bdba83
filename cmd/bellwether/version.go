package main

import (
	"runtime"
	"runtime/debug"
)

// release is set by the linker.
var release = "0.1.0-dev"

// version says what this is, as exactly as the build knows.
func version() string {
	v := "bellwether " + release
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += " (" + s.Value[:12] + ")"
			}
		}
	}
	return v + " " + runtime.Version()
}
