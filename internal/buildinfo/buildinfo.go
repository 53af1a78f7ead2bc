// Package buildinfo says which build of Hotpatch is running.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker: -X hotpatch.dev/hotpatch/internal/buildinfo.version=v0.1.0
var version = "dev"

// Version is the release, and the commit where the build knows it.
func Version() string {
	if rev := commit(); rev != "" {
		return version + " (" + rev + ")"
	}
	return version
}

// Line is what `PROGRAM --version` prints.
func Line(program string) string {
	return fmt.Sprintf("%s %s %s %s/%s", program, Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return ""
}
