package runtime

import (
	"testing"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestFiltersThatLetACallPassAreKnown(t *testing.T) {
	rule := func(action specs.LinuxSeccompAction, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"read", "chdir"}, Action: action, Args: args}
	}
	profile := func(otherwise specs.LinuxSeccompAction, rules ...specs.LinuxSyscall) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: otherwise, Syscalls: rules}
	}
	byDefault := seccomp.DefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}})
	for name, c := range map[string]struct {
		profile *specs.LinuxSeccomp
		want    int
	}{
		"none":                   {nil, 0},
		"containerd's own":       {byDefault, 1},
		"all are allowed":        {profile(specs.ActAllow), 1},
		"all but it":             {profile(specs.ActAllow, rule(specs.ActKillProcess)), 0},
		"all, it fails":          {profile(specs.ActAllow, rule(specs.ActErrno)), 0},
		"it is allowed":          {profile(specs.ActKill, rule(specs.ActAllow)), 1},
		"it is logged":           {profile(specs.ActKill, rule(specs.ActLog)), 1},
		"with some arguments":    {profile(specs.ActKill, rule(specs.ActAllow, specs.LinuxSeccompArg{})), 0},
		"allowed, but not twice": {profile(specs.ActKill, rule(specs.ActAllow), rule(specs.ActTrap)), 0},
		"nothing is":             {profile(specs.ActErrno), 0},
	} {
		if got := knownFilters(c.profile, "chdir"); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if knownFilters(byDefault, "chdir", "rt_sigreturn") != 1 || knownFilters(byDefault, "chdir", "pivot_root") != 0 {
		t.Error("not all of the calls are asked for")
	}
}
