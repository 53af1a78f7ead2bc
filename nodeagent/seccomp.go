package nodeagent

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/google/renameio/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// SeccompProfile is the file name that the agent's pod asks for as its
// Localhost profile.
const SeccompProfile = "hotpatch-agent.json"

// InstallSeccomp writes the agent's seccomp profile into kubelet's directory
// for them: the runtime's default for the agent's capabilities, and pivot_root,
// which no default allows.
func InstallSeccomp(dir string) error {
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	for _, c := range needed {
		spec.Process.Capabilities.Bounding = append(spec.Process.Capabilities.Bounding, "CAP_"+c.name)
	}
	profile := seccomp.DefaultProfile(spec)
	profile.Syscalls = append(profile.Syscalls, specs.LinuxSyscall{Names: []string{"pivot_root"}, Action: specs.ActAllow})
	content, err := json.Marshal(profile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("install the seccomp profile: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, SeccompProfile), content, 0o644); err != nil {
		return fmt.Errorf("install the seccomp profile: %w", err)
	}
	return nil
}
