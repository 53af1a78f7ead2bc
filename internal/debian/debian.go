// Package debian has Debian's packages on the machine: those of programs that
// tests run beside ours. Tests of several packages run at once, and apt has one
// at a time: others wait here for their turn.
package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// limit of one installation, the wait for others included.
const limit = 10 * time.Minute

// Need installs the packages whose programs are not to be found, and says so with
// the reason. Programs are the keys, by name.
func Need(ctx context.Context, why string, programs map[string]string) error {
	var missing []string
	for program, pkg := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	names := strings.Join(missing, " ")
	fmt.Fprintf(os.Stderr, "installing %s with apt: %s\n", names, why)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The directory is locked among us, apt's own lock is waited for as well.
	const script = `apt-get update -qq && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"`
	install := exec.CommandContext(ctx, "flock", append([]string{"/var/lib/dpkg", "sh", "-c", script, "sh"}, missing...)...)
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1") // starts no service
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("install %s with apt: %w: %s", names, err, out)
	}
	return nil
}
