package atomicfile

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T) (*os.Root, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

func TestWriteKeepsModeAndOwner(t *testing.T) {
	root, dir := open(t)
	for _, step := range []struct {
		content string
		mode    os.FileMode
	}{{"one", 0o644}, {"two", 0o600}, {"three", 0o600}} {
		if err := Write(root, "a/b/file", []byte(step.content)); err != nil {
			t.Fatal(err)
		}
		if step.content == "two" { // as a user would have left it
			os.Chmod(filepath.Join(dir, "a/b/file"), 0o600)
			os.Chown(filepath.Join(dir, "a/b/file"), 1234, 4321)
		}
		got, err := root.ReadFile("a/b/file")
		info, _ := root.Stat("a/b/file")
		if err != nil || string(got) != step.content || info.Mode().Perm() != step.mode {
			t.Errorf("%q %v %v; want %q %v", got, info.Mode(), err, step.content, step.mode)
		}
	}
	info, _ := root.Stat("a/b/file")
	if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 1234 || owner.Gid != 4321 {
		t.Errorf("owner %d:%d (this test needs root)", owner.Uid, owner.Gid)
	}
}

func TestNothingOutsideIsTouched(t *testing.T) {
	root, dir := open(t)
	outside := t.TempDir()
	if err := os.WriteFile(outside+"/file", []byte("outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"dir": outside, "file": outside + "/file", "dangling": outside + "/new", "inside": "real"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(dir+"/real", 0o755)
	os.Mkdir(dir+"/empty", 0o755)
	for _, name := range []string{"dir/file", "inside/file", "../file", "/etc/file", "..", ".", "empty"} {
		if err := Write(root, name, []byte("x")); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	for _, name := range []string{"file", "dangling"} {
		if err := Write(root, name, []byte("inside")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: still a link, %v", name, err)
		}
	}
	if got, _ := os.ReadFile(outside + "/file"); string(got) != "outside" {
		t.Errorf("written through the link: %q", got)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		t.Errorf("new files outside: %v", entries)
	}
	if info, err := os.Stat(dir + "/empty"); err != nil || !info.IsDir() {
		t.Errorf("the directory is gone: %v", err)
	}
}

func TestAbortLeavesTheOldAndNoTrace(t *testing.T) {
	root, dir := open(t)
	if err := Write(root, "file", []byte("old")); err != nil {
		t.Fatal(err)
	}
	f, err := Create(root, "file")
	if err != nil {
		t.Fatal(err)
	}
	f.Write([]byte("ne"))
	f.Abort()
	f.Abort()
	if got, _ := root.ReadFile("file"); string(got) != "old" {
		t.Errorf("content %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// A reader loops while the file is replaced; not once may it be torn or gone.
func TestReadersSeeWholeContent(t *testing.T) {
	root, _ := open(t)
	write := func(i int) {
		if err := Write(root, "file", bytes.Repeat([]byte{byte('a' + i%26)}, 1<<20)); err != nil {
			t.Error(err)
		}
	}
	write(0)
	var stop atomic.Bool
	done := make(chan int)
	go func() {
		reads := 0
		for ; !stop.Load(); reads++ {
			got, err := root.ReadFile("file")
			if err != nil || len(got) != 1<<20 || bytes.Count(got, got[:1]) != len(got) {
				t.Errorf("torn or missing: %d bytes, %v", len(got), err)
			}
		}
		done <- reads
	}()
	for i := range 50 {
		write(i)
	}
	stop.Store(true)
	if reads := <-done; reads < 10 {
		t.Errorf("only %d reads", reads)
	}
}

// The test's own program is started again as a writer and killed at any moment:
// old or new, and nothing left after Sweep.
func TestKilledAtAnyMoment(t *testing.T) {
	if dir := os.Getenv("ATOMICFILE_WRITER"); dir != "" {
		writeForEver(dir)
	}
	root, dir := open(t)
	if err := Write(root, "file", bytes.Repeat([]byte{'a'}, 1<<20)); err != nil {
		t.Fatal(err)
	}
	unfinished := 0
	for i := 0; i < 20 || unfinished == 0 && i < 200; i++ {
		before, err := root.Stat("file")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAtAnyMoment$")
		cmd.Env = append(os.Environ(), "ATOMICFILE_WRITER="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		untilReplaced(root, before)
		time.Sleep(time.Duration(7*(i%20)) * time.Millisecond) // some in the sync after a rename, some in the next write
		cmd.Process.Kill()
		cmd.Wait()
		got, err := root.ReadFile("file")
		if err != nil || len(got) != 1<<20 || bytes.Count(got, got[:1]) != len(got) {
			t.Fatalf("torn or missing: %d bytes, %v", len(got), err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 1 {
			unfinished++
		}
		if err := Sweep(root); err != nil {
			t.Fatal(err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Fatalf("left after Sweep: %v", entries)
		}
	}
	if unfinished == 0 {
		t.Error("no writer was killed while it wrote: the test has proved nothing")
	}
}

// untilReplaced waits until the writer writes, which on a busy machine takes it
// a while; a limit ends the wait for one that never does.
func untilReplaced(root *os.Root, before os.FileInfo) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, err := root.Stat("file"); err == nil && !os.SameFile(before, now) {
			return
		}
	}
}

func writeForEver(dir string) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		if err := Write(root, "file", []byte(strings.Repeat(fmt.Sprint(i%10), 1<<20))); err != nil {
			panic(err)
		}
	}
}
