package nodeagent

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThisNodeWillDo(t *testing.T) {
	here, err := thisPlatform(t.Context(), rt)
	if err := errors.Join(err, here.check(false), checkCapabilities()); err != nil {
		t.Error(err)
	}
	if here.kernel == "" || here.containerd == "" {
		t.Errorf("this is %+v", here)
	}
}

func TestAPlatformWithoutTrialIsRefused(t *testing.T) {
	for _, c := range []struct {
		is      platform
		refused string // "" if it is not
	}{
		{platform{"amd64", "6.1.0-53-cloud-amd64", "1.6.20~ds1"}, ""},
		{platform{"amd64", "6.18.44", "v2.4.2"}, ""},
		{platform{"amd64", "7.0.1", "1.7.24"}, ""},
		{platform{"arm64", "6.12.1", "v2.0.0"}, "arm64"},
		{platform{"amd64", "5.15.0-1", "2.1.3"}, "5.15.0-1"},
		{platform{"amd64", "6.6.1", "1.5.18"}, "containerd 1.5.18"},
		{platform{"amd64", "6.6.1", "v3.0.0"}, "containerd v3.0.0"},
		{platform{"amd64", "6.6.1", "unknown"}, "containerd unknown"},
	} {
		err := c.is.check(false)
		if (err == nil) != (c.refused == "") || err != nil && !(strings.Contains(err.Error(), c.refused) && strings.Contains(err.Error(), "--allow-untested")) {
			t.Errorf("%+v: got %v", c.is, err)
		}
		if err := c.is.check(true); err != nil {
			t.Errorf("%+v is allowed: got %v", c.is, err)
		}
	}
	for _, kernel := range []string{"5.11.0", "4.19.0", "odd"} {
		if err := (platform{"amd64", kernel, "1.6.20"}).check(true); err == nil || !strings.Contains(err.Error(), kernel) {
			t.Errorf("kernel %s: got %v", kernel, err)
		}
	}
}

func TestMissingDirectoriesAreNamed(t *testing.T) {
	empty, stage := t.TempDir(), filepath.Join(t.TempDir(), "stage")
	err := checkDirs(Options{SnapshotDir: "/nowhere", CgroupDir: empty, StageDir: stage})
	if err == nil || !strings.Contains(err.Error(), "/nowhere cannot be written") || !strings.Contains(err.Error(), empty+" is empty") {
		t.Errorf("got %v", err)
	}
	if err := checkDirs(Options{SnapshotDir: empty, CgroupDir: "/sys/fs/cgroup", StageDir: stage}); err != nil {
		t.Error(err)
	}
	if err := unix.Access(stage, unix.W_OK); err != nil {
		t.Errorf("the stage was not made: %v", err)
	}
}
