// Package imageconfig compares what two images would have a container run with.
// A hot-patch changes files alone: what an image says about environment,
// command, user and the like is read when a container starts, never later.
package imageconfig

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxNames is how many variables, volumes or ports are named.
const maxNames = 8

// Ignored names what a container that was started from own does not take of the
// image next; "" if that is nothing. Values of variables may be secret and are
// not told.
func Ignored(own, next v1.ImageConfig) string {
	var parts []string
	add := func(differs bool, what string) {
		if differs {
			parts = append(parts, what)
		}
	}
	names := changed(variables(own.Env), variables(next.Env))
	add(len(names) > 0, "environment "+list(names))
	add(!slices.Equal(own.Entrypoint, next.Entrypoint), "entrypoint")
	add(!slices.Equal(own.Cmd, next.Cmd), "command")
	add(own.User != next.User, fmt.Sprintf("user %q (stays %q)", next.User, own.User))
	add(directory(own) != directory(next), fmt.Sprintf("working directory %s (stays %s)", directory(next), directory(own)))
	names = changed(own.Volumes, next.Volumes)
	add(len(names) > 0, "volumes "+list(names))
	names = changed(own.ExposedPorts, next.ExposedPorts)
	add(len(names) > 0, "ports "+list(names))
	add(own.StopSignal != next.StopSignal, "stop signal")
	return strings.Join(parts, ", ")
}

func directory(c v1.ImageConfig) string {
	if c.WorkingDir == "" {
		return "/"
	}
	return c.WorkingDir
}

func variables(env []string) map[string]string {
	out := map[string]string{}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		out[name] = value
	}
	return out
}

// changed are the keys that only one has, or whose values differ.
func changed[V comparable](a, b map[string]V) []string {
	differ := map[string]bool{}
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			differ[key] = true
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			differ[key] = true
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

func list(names []string) string {
	if more := len(names) - maxNames; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], " "), more)
	}
	return strings.Join(names, " ")
}

// RunsOn says why an image does not run on a platform ("linux", "amd64"); "" if
// it does, or does not say for which it was made.
func RunsOn(p v1.Platform, os, architecture string) string {
	if (p.OS == "" || p.OS == os) && (p.Architecture == "" || p.Architecture == architecture) {
		return ""
	}
	return fmt.Sprintf("it was built for %s/%s, and the node is %s/%s", p.OS, p.Architecture, os, architecture)
}
