package mount

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOptionsThatFitStayAsTheyAre(t *testing.T) {
	data := []string{"index=off", "lowerdir=/s/2/fs:/s/1/fs", "upperdir=/s/3/fs"}
	options, leave, err := fitPage(data, "/s/3/fs")
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if want := strings.Join(data, ","); options != want {
		t.Errorf("got %s, want %s", options, want)
	}
}

// mount(2) takes one page; paths of a hundred layers are longer than that.
func TestManyLayersAreMounted(t *testing.T) {
	f, on := layers(t, 120), t.TempDir()
	if n := len(strings.Join(f.Options, ",")); n <= os.Getpagesize() {
		t.Fatalf("%d bytes of options fit a page; the test needs more", n)
	}
	proc := openProc(t)
	err := Thread(func() error {
		ns, err := Private()
		if err != nil {
			return err
		}
		defer ns.Close()
		if err := Mount(f, on); err != nil {
			return err
		}
		if dir, err := os.Getwd(); err != nil || dir != "/" {
			return fmt.Errorf("the thread was left in %s: %w", dir, err)
		}
		return seesAll(proc, f, on)
	})
	if err != nil {
		t.Error(err)
	}
}

// seesAll reads the first and the last layer, and the upper directory as the
// mount table has it: roots are recognised by its absolute path.
func seesAll(proc *os.File, f Filesystem, on string) error {
	for _, name := range []string{"file-1", "file-120"} {
		if _, err := os.Stat(filepath.Join(on, name)); err != nil {
			return err
		}
	}
	table, err := Table(proc, unix.Gettid())
	if err != nil {
		return err
	}
	for _, e := range table {
		if e.Path == on && e.SuperOption("upperdir") == f.Option("upperdir") {
			return nil
		}
	}
	return fmt.Errorf("no mount on %s has the upper directory %s", on, f.Option("upperdir"))
}

func TestTooManyLayersAreRefusedInWords(t *testing.T) {
	var lower []string
	for i := range 2000 {
		lower = append(lower, fmt.Sprintf("/s/%d/fs", i))
	}
	_, leave, err := fitPage([]string{"lowerdir=" + strings.Join(lower, ":")}, "/s/2001/fs")
	leave()
	if !errors.Is(err, unix.E2BIG) || !strings.Contains(err.Error(), "too many layers") {
		t.Errorf("got %v", err)
	}
}

// layers makes snapshots as containerd's overlayfs has them, of one file each.
func layers(t *testing.T, n int) Filesystem {
	t.Helper()
	base := filepath.Join(t.TempDir(), "snapshots")
	var lower []string
	for i := range n {
		dir := filepath.Join(base, fmt.Sprint(i+1), "fs")
		name := filepath.Join(dir, fmt.Sprintf("file-%d", i+1))
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(name, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		lower = append(lower, dir)
	}
	upper, work := filepath.Join(base, "top/fs"), filepath.Join(base, "top/work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		t.Fatal(err)
	}
	return Filesystem{Type: "overlay", Source: "overlay",
		Options: []string{"workdir=" + work, "upperdir=" + upper, "lowerdir=" + strings.Join(lower, ":")}}
}
