package swap

import (
	"os"
	"testing"
	"time"
)

// A container may remove cgroups of its own at any time.
func TestCgroupsThatGoWhileTheyAreListed(t *testing.T) {
	hierarchy := "/sys/fs/cgroup/freezer"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		hierarchy = "/sys/fs/cgroup"
	}
	group, err := os.MkdirTemp(hierarchy, "hotpatch-test")
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
