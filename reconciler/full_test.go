package reconciler

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// onSmallDisk runs a test again, in a process with mounts of its own where there is a
// disk of 8 MB. It returns that disk, or outside what the process said.
func onSmallDisk(t *testing.T) (disk, said string) {
	t.Helper()
	const inside = "HOTPATCH_TEST_INSIDE"
	if os.Getenv(inside) == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=yes")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Error(err)
		}
		return "", string(out)
	}
	disk = t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	return disk, ""
}

// The disk of the Git server is full, before there is room for the objects of a result
// or only as the branch is moved to them. Pods go on, people are told in the server's
// words, and what was observed lands once there is room: once.
func TestResultsOutliveAFullDiskOfTheGitServer(t *testing.T) {
	disk, _ := onSmallDisk(t)
	if disk == "" {
		return
	}
	t.Setenv("TMPDIR", disk)
	ballast := filepath.Join(disk, "ballast")
	fill := fmt.Sprintf("dd if=/dev/zero of=%s bs=1k 2>/dev/null; true", ballast)
	words := regexp.MustCompile(`cannot update ref 'refs/heads/hotpatch-status': couldn't write|the server says: fatal: .*No space left on device`)
	for name, strike := range map[string]func(repo *gittest.Repo){
		"no room for objects": func(*gittest.Repo) { _ = exec.Command("sh", "-c", fill).Run() },
		"none for the branch": func(repo *gittest.Repo) { repo.Hook("update", `case "$1" in */hotpatch-status) `+fill+";; esac") },
	} {
		t.Run(name, func(t *testing.T) {
			repo, cluster := gittest.NewRepo(t), newObedient(2)
			repo.Commit(manifest("a"), "release v1")
			r, _ := lead(t, repo, "hotpatch-status", cluster)
			eventually(t, "v1", func() bool { return recorded(t, repo).Phase == api.PhaseComplete })
			commits := len(repo.Log("hotpatch-status"))
			server := httptest.NewServer(r.endpoints())
			defer server.Close()

			repo.Commit(manifest("b"), "release v2")
			strike(repo)
			r.pollNow()
			eventually(t, "v2 on the pods", func() bool { return cluster.told("b") == 2 })
			eventually(t, "the server's words", func() bool {
				code, said := call(t, "GET", server.URL+"/readyz", nil)
				return code == 200 && words.MatchString(said)
			})
			if s := recorded(t, repo); !strings.Contains(s.Containers[0].Image, strings.Repeat("a", 64)) || len(repo.Log("hotpatch-status")) != commits {
				t.Errorf("where there is no room there is a record of %+v", s)
			}

			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			repo.Hook("update", "")
			eventually(t, "the record of v2", func() bool {
				s := recorded(t, repo)
				return s.Phase == api.PhaseComplete && strings.Contains(s.Containers[0].Image, strings.Repeat("b", 64))
			})
			if log := repo.Log("hotpatch-status"); len(log) != commits+1 {
				t.Errorf("it landed as %d commits: %q", len(log)-commits, log)
			}
			if checkCourse(t, repo); cluster.told("b") != 2 {
				t.Errorf("pods are told of %s", cluster.asked())
			}
			repo.Git("-C", repo.Bare, "fsck", "--strict")
		})
	}
}

// The directory for what has no room in memory has none either. Memory has it then, the
// log says so, and every release is followed.
func TestReleasesAreFollowedThoughTheCacheIsFull(t *testing.T) {
	disk, said := onSmallDisk(t)
	if disk == "" {
		if want := "no space left on device"; !strings.Contains(said, "goes into memory") || !strings.Contains(said, want) {
			t.Errorf("nobody says %q", want)
		}
		return
	}
	repo, cluster := gittest.NewRepo(t), newObedient(2)
	large := manifest("a")
	for i := range 20 {
		large[fmt.Sprint("maps/", i)] = strings.Repeat(fmt.Sprintf("map %2d.\n", i), 1<<17)
	}
	repo.Commit(large, "release v1")
	r, _ := lead(t, repo, "hotpatch-status", cluster, func(r *Reconciler) {
		var err error
		if r.follower.source, err = gitsource.NewSource(gitsource.Options{URL: repo.URL, Branch: "main", CacheDir: disk}); err != nil {
			t.Fatal(err)
		}
	})
	for _, image := range []string{"a", "b"} {
		repo.Commit(manifest(image), "release "+image)
		r.pollNow()
		eventually(t, "release "+image, func() bool { return recorded(t, repo).Phase == api.PhaseComplete && cluster.told(image) == 2 })
	}
	var left unix.Statfs_t
	if err := unix.Statfs(disk, &left); err != nil || left.Bfree > 256 {
		t.Errorf("the disk has %d free blocks, %v", left.Bfree, err)
	}
}
