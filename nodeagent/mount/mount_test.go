package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests mount and need root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Many at once, so that the first thread, which never ends, is asked too.
func TestAThreadsNamespaceNeverLeaks(t *testing.T) {
	dir, own := t.TempDir(), namespaceOf(t, "self")
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if err := Thread(func() error { return mountPrivately(dir) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	left := elsewhere(t, own)
	for end := time.Now().Add(3 * time.Second); len(left) > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		left = elsewhere(t, own) // the last ones were still ending
	}
	if len(left) > 0 {
		t.Errorf("threads %v were left in other namespaces than %s", left, own)
	}
	if _, err := os.Stat(filepath.Join(dir, "inside")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a mount of a thread is seen by all: %v", err)
	}
}

// elsewhere lists our threads that are in another mount namespace.
func elsewhere(t *testing.T, own string) (ids []string) {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if ns, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/mnt"); err == nil && ns != own {
			ids = append(ids, thread.Name())
		}
	}
	return ids
}

// mountPrivately mounts where only this thread sees it, and sees it.
func mountPrivately(dir string) error {
	if unix.Gettid() == unix.Getpid() {
		return errors.New("the first thread was given away")
	}
	ns, err := Private()
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := Mount(Filesystem{Type: "tmpfs", Source: "tmpfs"}, dir); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "inside"), nil, 0o600)
}

func TestAThreadReturnsItsError(t *testing.T) {
	want := errors.New("so it is")
	if err := Thread(func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
}

func TestOneComesBackToANamespace(t *testing.T) {
	dir := t.TempDir()
	err := Thread(func() error {
		first, err := Private()
		if err != nil {
			return err
		}
		defer first.Close()
		if err := mountPrivately(dir); err != nil { // in a second one
			return err
		}
		if err := Enter(first); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "inside")); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the first namespace has the mount of the second: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRestrict(t *testing.T) {
	dir := t.TempDir()
	err := Thread(func() error {
		if err := mountPrivately(dir); err != nil {
			return err
		}
		if err := Restrict(dir, []string{"rw", "relatime"}); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "second"), nil, 0o600); err != nil {
			return fmt.Errorf("nothing was to be restricted: %w", err)
		}
		if err := Restrict(dir, []string{"ro", "nosuid", "relatime"}); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "third"), nil, 0o600); !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("a read-only mount was written: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestPlacesAreTheSameOnEveryMount(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	err := Thread(func() error {
		if err := mountPrivately(dir); err != nil {
			return err
		}
		tree, err := Clone(unix.AT_FDCWD, dir, false)
		if err != nil {
			return err
		}
		defer tree.Close()
		if err := Attach(tree, copied); err != nil {
			return err
		}
		a, err := PlaceOf(unix.AT_FDCWD, dir+"/inside")
		b, err2 := PlaceOf(unix.AT_FDCWD, copied+"/inside")
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if a.File != b.File || a.Mount == b.Mount || a.Deleted {
			return fmt.Errorf("the same file on two mounts is %+v and %+v", a, b)
		}
		open, err := os.Open(dir + "/inside")
		if err != nil {
			return err
		}
		defer open.Close()
		if err := os.Remove(open.Name()); err != nil {
			return err
		}
		gone, err := PlaceOf(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", open.Fd()))
		if err == nil && (!gone.Deleted || gone.File != a.File) {
			err = fmt.Errorf("a deleted file is %+v", gone)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestErrorsAreInWords(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for want, call := range map[string]func() error{
		"mount odd on /nowhere: no such":                   func() error { return Mount(Filesystem{Type: "odd"}, "/nowhere") },
		"open_tree /nowhere clone: no such":                func() error { _, err := Clone(unix.AT_FDCWD, "/nowhere", true); return err },
		"move_mount " + file.Name() + " on /nowhere: ":     func() error { return Attach(file, "/nowhere") },
		"mount_setattr /nowhere ro,noexec: no such":        func() error { return Restrict("/nowhere", []string{"ro", "noexec"}) },
		"pivot_root /nowhere /nowhere/old: no such":        func() error { return Pivot("/nowhere", "/nowhere/old") },
		"umount2 /nowhere detach: no such":                 func() error { return Detach("/nowhere") },
		"fchdir " + file.Name() + ": not a directory":      func() error { return Start(file) },
		"mount /nowhere private: no such":                  func() error { return Unshare("/nowhere") },
		"setns " + file.Name() + ": invalid argument":      func() error { return Enter(file) },
		"statx /nowhere: no such":                          func() error { _, _, err := ID(unix.AT_FDCWD, "/nowhere", 0); return err },
		"statx /nowhere/at: no such":                       func() error { _, err := PlaceOf(unix.AT_FDCWD, "/nowhere/at"); return err },
		"move_mount " + file.Name() + " on " + file.Name(): func() error { return AttachTo(file, file) },
	} {
		err := Thread(func() error {
			ns, err := Private()
			if err != nil {
				return err
			}
			defer ns.Close()
			return call()
		})
		var failure *Error
		if !errors.As(err, &failure) || failure.Unwrap() == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s…", err, want)
		}
	}
	if err := failed("mount", "nothing", nil); err != nil {
		t.Errorf("success is the error %v", err)
	}
}

func namespaceOf(t *testing.T, pid string) string {
	t.Helper()
	ns, err := os.Readlink("/proc/" + pid + "/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}
