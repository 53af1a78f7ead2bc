package nodeagent

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// platform is what swaps depend on and we cannot change.
type platform struct {
	arch       string
	kernel     string // "6.1.0-53-cloud-amd64"
	containerd string // "1.6.20~ds1"
}

// Where the swap's tests were run: `make test-vm` runs them, docs/swap.md tells
// of it. A newer kernel keeps what was there; a containerd of a next major
// version may not.
var (
	triedArchs        = []string{"amd64"} // arm64: not all the tests were run yet
	needsKernel       = version{5, 12}
	oldestTriedKernel = version{6, 1}
	oldestContainerd  = version{1, 6}
	newestTriedMajor  = 2
)

// version is the beginning of one: what comes after the second number is not
// looked at.
type version struct{ major, minor int }

func parseVersion(text string) (v version, err error) {
	_, err = fmt.Sscanf(strings.TrimPrefix(text, "v"), "%d.%d", &v.major, &v.minor)
	return v, err
}

func (v version) before(other version) bool {
	return v.major < other.major || v.major == other.major && v.minor < other.minor
}

// daemon is the container runtime, which knows its version.
type daemon interface {
	Version(ctx context.Context) (string, error)
}

func thisPlatform(ctx context.Context, rt daemon) (platform, error) {
	p := platform{arch: goruntime.GOARCH}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return p, err
	}
	p.kernel = unix.ByteSliceToString(name.Release[:])
	var err error
	if p.containerd, err = rt.Version(ctx); err != nil {
		return p, fmt.Errorf("containerd does not answer; mount the directory of its socket: %w", err)
	}
	return p, nil
}

// check refuses a kernel that lacks what a swap is made of and, unless that is
// allowed, a platform that a swap was never tried on: what goes wrong there
// would go wrong in somebody's running container.
func (p platform) check(allowUntested bool) error {
	kernel, err := parseVersion(p.kernel)
	if err != nil {
		return fmt.Errorf("read the kernel's version %q: %w", p.kernel, err)
	}
	if kernel.before(needsKernel) {
		return fmt.Errorf("kernel %s is too old: mount_setattr needs 5.12", p.kernel)
	}
	if allowUntested {
		return nil
	}
	return errors.Join(p.untested(kernel)...)
}

// untested has an error for each part of a platform that swaps were not tried on.
func (p platform) untested(kernel version) (errs []error) {
	refuse := func(what string) {
		errs = append(errs, fmt.Errorf("swaps were not tried on %s; start the agent with --allow-untested to swap there all the same", what))
	}
	if !slices.Contains(triedArchs, p.arch) {
		refuse("the processor architecture " + p.arch)
	}
	if kernel.before(oldestTriedKernel) {
		refuse("kernels before 6.1, and this is " + p.kernel)
	}
	if p.containerd == "" {
		return errs // it does not answer, which is said already
	}
	daemon, err := parseVersion(p.containerd)
	if err != nil || daemon.before(oldestContainerd) || daemon.major > newestTriedMajor {
		refuse("containerd " + p.containerd)
	}
	return errs
}
