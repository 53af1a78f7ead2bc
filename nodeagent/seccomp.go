package nodeagent

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
)

// SeccompProfile is the file name that the agent's pod asks for as its
// Localhost profile.
const SeccompProfile = "hotpatch-agent.json"

// InstallSeccomp writes the agent's seccomp profile into kubelet's directory
// for them: the runtime's default for the agent's capabilities, and pivot_root,
// which no default allows.
func InstallSeccomp(dir string) error {
	var capabilities []string
	for _, c := range needed {
		capabilities = append(capabilities, "CAP_"+c.name)
	}
	content, err := runtime.SeccompProfile(capabilities, "pivot_root")
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
