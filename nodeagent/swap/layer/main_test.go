package layer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// insideEnv says that we are in a mount namespace of our own, so that no mount
// outlives the tests however they end.
const insideEnv = "HOTPATCH_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests mount overlays and need root")
		os.Exit(1)
	}
	if os.Getenv(insideEnv) != "" {
		unix.Umask(0o022)
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=yes")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// plenty is a limit that no test reaches by accident.
var plenty = Limit{Bytes: 64 << 20, Entries: 10000}

// world is a container's root on an old image, and a new root.
type world struct {
	testing.TB
	dir       string
	old, next string // mounted
	options   string
	mounts    []string
}

// newWorld makes it of two images; see files for how they are written.
func newWorld(t testing.TB, options string, base, image map[string]string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "layer")
	must(t, err)
	w := &world{TB: t, dir: dir, options: options}
	write(t, w.at("base"), base)
	write(t, w.at("image"), image)
	w.old = w.overlay("old", "base")
	w.anew()
	t.Cleanup(w.end)
	return w
}

func (w *world) end() {
	for _, on := range w.mounts {
		must(w, unix.Unmount(on, unix.MNT_DETACH))
	}
	w.mounts = nil
	must(w, os.RemoveAll(w.dir))
}

func (w *world) at(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

func (w *world) overlay(name, lower string) string {
	w.Helper()
	for _, dir := range []string{"upper", "work", "root"} {
		must(w, os.MkdirAll(w.at(name, dir), 0o755))
	}
	options := []string{"index=off", "volatile", "lowerdir=" + w.at(lower), "upperdir=" + w.at(name, "upper"), "workdir=" + w.at(name, "work")}
	if w.options != "" && name == "old" {
		options = append(options, strings.Split(w.options, ",")...)
	}
	on := w.at(name, "root")
	must(w, mount.Mount(mount.Filesystem{Type: "overlay", Source: "overlay", Options: options}, on))
	w.mounts = append(w.mounts, on)
	return on
}

// anew puts a fresh root in the place of the new one.
func (w *world) anew() {
	w.Helper()
	w.next = w.overlay(fmt.Sprintf("next%d", len(w.mounts)), "image")
}

// copy begins a copy.
func (w *world) copy(limit Limit, exclude ...string) *Copy {
	w.Helper()
	open := func(dir string) *os.File {
		f, err := os.Open(dir)
		must(w, err)
		w.Cleanup(func() { f.Close() })
		return f
	}
	return New(Views{Upper: open(w.at("old/upper")), Base: open(w.at("base")), Old: open(w.old), Next: open(w.next)}, exclude, limit)
}

// carried copies everything, in both phases.
func (w *world) carried(exclude ...string) *Copy {
	w.Helper()
	c := w.copy(plenty, exclude...)
	must(w, c.Run(context.Background()))
	must(w, c.Finish(context.Background()))
	return c
}

// refused wants an error from copying everything.
func (w *world) refused(limit Limit, is error, says string) {
	w.Helper()
	err := w.copy(limit).Run(context.Background())
	if err == nil || is != nil && !errors.Is(err, is) || !strings.Contains(err.Error(), says) {
		w.Errorf("got %v, want one that says %q", err, says)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes files: "dir/" is a directory, "→ x" a symlink to x, "null" a device.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		to, isLink := strings.CutPrefix(files[name], "→ ")
		name, content := filepath.Join(dir, name)+name[len(strings.TrimSuffix(name, "/")):], files[name]
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		switch {
		case isLink:
			must(t, os.Symlink(to, name))
		case content == "null":
			must(t, unix.Mknod(name, unix.S_IFCHR|0o644, 1<<8|3))
		case !strings.HasSuffix(name, "/"):
			must(t, os.WriteFile(name, []byte(content), 0o644))
		}
	}
}

// tree describes all files below a directory, one in a line.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err == nil {
			out[rel], err = describe(name)
		}
		return err
	}))
	return out
}

func describe(name string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return "", err
	}
	line := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		if len(content) > 40 {
			content = fmt.Appendf(nil, "%d bytes %x", len(content), sha256.Sum256(content))
		}
		line += fmt.Sprintf(" %q", content)
	case unix.S_IFLNK:
		to, err := os.Readlink(name)
		if err != nil {
			return "", err
		}
		line += " → " + to
	case unix.S_IFCHR, unix.S_IFBLK:
		line += fmt.Sprintf(" device %x", st.Rdev)
	}
	return line, nil
}

// differ says how two trees do, "" if not.
func differ(got, want map[string]string) string {
	var lines []string
	for name, line := range want {
		if got[name] != line {
			lines = append(lines, fmt.Sprintf("%s is %q, want %q", name, got[name], line))
		}
	}
	for name, line := range got {
		if _, ok := want[name]; !ok {
			lines = append(lines, fmt.Sprintf("%s is %q, and should not be there", name, line))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// has wants some paths of the new root to be so; "" says that there is none.
func (w *world) has(want map[string]string) {
	w.Helper()
	got := tree(w, w.next)
	for name, line := range want {
		if got[name] != line {
			w.Errorf("%s is %q, want %q", name, got[name], line)
		}
	}
}
