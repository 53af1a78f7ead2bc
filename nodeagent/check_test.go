package nodeagent

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThisNodeWillDo(t *testing.T) {
	if err := errors.Join(checkKernel(), checkCapabilities()); err != nil {
		t.Error(err)
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
