package runtime

import (
	"encoding/json"
	"slices"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// SeccompProfile is the profile that containerd gives a container with these
// capabilities ("CAP_…") by default, and with further system calls, as JSON.
func SeccompProfile(capabilities []string, further ...string) ([]byte, error) {
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}}}
	profile := seccomp.DefaultProfile(spec)
	profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{Names: further, Action: specs.ActAllow})
	return json.Marshal(profile)
}

// knownFilters is 1 if the runtime gives the container's processes a filter that
// lets these system calls pass, whatever their arguments.
func knownFilters(profile *specs.LinuxSeccomp, calls ...string) int {
	if profile == nil {
		return 0 // what they have is their own
	}
	for _, call := range calls {
		if !passes(profile, call) {
			return 0
		}
	}
	return 1
}

func passes(profile *specs.LinuxSeccomp, call string) bool {
	lets := func(action specs.LinuxSeccompAction) bool { return action == specs.ActAllow || action == specs.ActLog }
	passes := lets(profile.DefaultAction)
	for _, rule := range profile.Syscalls {
		if !slices.Contains(rule.Names, call) {
			continue
		}
		if !lets(rule.Action) {
			return false
		}
		passes = passes || len(rule.Args) == 0
	}
	return passes
}
