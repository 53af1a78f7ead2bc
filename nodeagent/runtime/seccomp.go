package runtime

import (
	"encoding/json"

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
