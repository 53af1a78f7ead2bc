package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities without which a swap would fail or, worse, half
// work; each with what would go wrong. overlayfs acts with the mounter's own.
var needed = []struct {
	bit     uint
	name    string
	without string
}{
	{unix.CAP_SYS_ADMIN, "SYS_ADMIN", "no root can be mounted"},
	{unix.CAP_SYS_PTRACE, "SYS_PTRACE", "processes cannot be stopped"},
	{unix.CAP_SYS_CHROOT, "SYS_CHROOT", "the container's mount namespace cannot be entered"},
	{unix.CAP_DAC_OVERRIDE, "DAC_OVERRIDE", "mountpoints cannot be made"},
	{unix.CAP_KILL, "KILL", "processes of other users would silently not be signalled"},
	{unix.CAP_CHOWN, "CHOWN", "chown would fail inside patched containers"},
	{unix.CAP_FOWNER, "FOWNER", "chmod would fail inside patched containers"},
	{unix.CAP_FSETID, "FSETID", "set-ID bits would be lost inside patched containers"},
	{unix.CAP_MKNOD, "MKNOD", "mknod would fail inside patched containers"},
	{unix.CAP_SETFCAP, "SETFCAP", "file capabilities could not be set inside patched containers"},
}

// checkNode says at the start what is missing here, never a swap that half
// works later.
func checkNode(ctx context.Context, o Options, rt daemon) error {
	p, err := thisPlatform(ctx, rt)
	return errors.Join(err, p.check(o.AllowUntested), checkCapabilities(), checkDirs(o))
}

func checkCapabilities() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "CapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	have, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return fmt.Errorf("read our capabilities: %w", err)
	}
	var errs []error
	for _, c := range needed {
		if have&(1<<c.bit) == 0 {
			errs = append(errs, fmt.Errorf("capability %s is missing: %s", c.name, c.without))
		}
	}
	return errors.Join(errs...)
}

func checkDirs(o Options) error {
	var errs []error
	if os.Getpid() == 1 {
		errs = append(errs, errors.New("the host's processes cannot be seen: we are process 1; set hostPID"))
	}
	if err := unix.Access(o.SnapshotDir, unix.W_OK); err != nil {
		errs = append(errs, fmt.Errorf("containerd's snapshots at %s cannot be written: %w; mount that directory at the same path", o.SnapshotDir, err))
	}
	if groups, _ := filepath.Glob(filepath.Join(o.CgroupDir, "*")); len(groups) == 0 {
		errs = append(errs, fmt.Errorf("%s is empty: processes could not be stopped; mount the host's", o.CgroupDir))
	}
	return errors.Join(append(errs, os.MkdirAll(o.StageDir, 0o700))...)
}
