package swap

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A container may remove cgroups of its own at any time.
func TestCgroupsThatGoWhileTheyAreListed(t *testing.T) {
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	own, err := groupOf(proc, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	group, err := os.MkdirTemp(filepath.Join("/sys/fs/cgroup", own), "hotpatch-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(group)
	dir, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	end, ended := time.Now().Add(300*time.Millisecond), make(chan bool)
	go func() {
		defer close(ended)
		for time.Now().Before(end) {
			_ = os.Mkdir(group+"/a", 0o755)
			_ = os.Remove(group + "/a")
		}
	}()
	defer func() { <-ended }()
	for time.Now().Before(end) {
		if _, err := directories(dir, "a"); err != nil {
			t.Fatal(err)
		}
	}
}
