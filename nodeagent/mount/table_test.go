package mount

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// As the kernel writes it: optional fields or none, a space in a path, options
// of the mount and of the filesystem apart.
const sample = `612 580 0:52 / / rw,relatime - overlay overlay rw,lowerdir=/s/2/fs:/s/1/fs,upperdir=/s/3/fs,workdir=/s/3/work
613 612 0:55 / /proc ro,nosuid,nodev,noexec shared:7 master:3 - proc proc rw
614 612 8:1 /data /my\040files rw,relatime - ext4 /dev/sda1 rw,errors=remount-ro
`

func TestTableIsRead(t *testing.T) {
	entries, err := parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 {
		t.Fatalf("%d entries of 3 lines: %+v", len(entries), entries)
	}
	root, proc, files := entries[0], entries[1], entries[2]
	if root.ID != 612 || root.Parent != 580 || root.Path != "/" || root.Type != "overlay" {
		t.Errorf("the root is %+v", root)
	}
	if got := root.SuperOption("upperdir"); got != "/s/3/fs" {
		t.Errorf("upperdir is %q", got)
	}
	if got := root.SuperOption("upper"); got != "" {
		t.Errorf("half a name has the value %q", got)
	}
	if want := []string{"ro", "nosuid", "nodev", "noexec"}; proc.Parent != root.ID || !slices.Equal(proc.Options, want) {
		t.Errorf("/proc is %+v", proc)
	}
	if files.Path != "/my files" || files.SuperOption("errors") != "remount-ro" {
		t.Errorf("a path with a space is %+v", files)
	}
}

func TestATableThatIsNoneIsAnError(t *testing.T) {
	for _, text := range []string{"612 580", "612 580 0:52 / / rw overlay overlay rw\n"} {
		if entries, err := parse(strings.NewReader(text)); err == nil {
			t.Errorf("%q was read as %+v", text, entries)
		}
	}
}

// Containers choose where they mount; the kernel writes what would end a line or a
// field in another way.
func TestOddPathsAreReadAsTheyAre(t *testing.T) {
	for text, want := range map[string]string{
		`/a\040b\011c`: "/a b\tc", `/line\012615\040612`: "/line\n615 612", `/back\134012`: `/back\012`, "/esc\x1b[2J": "/esc\x1b[2J",
		`/gone//deleted`: "/gone//deleted", `/hash\043`: "/hash#",
	} {
		entries, err := parse(strings.NewReader("614 612 8:1 / " + text + " rw - ext4 /dev/sda1 rw\n"))
		if err != nil || len(entries) != 1 || entries[0].Path != want {
			t.Errorf("%q is read as %+v, %v", text, entries, err)
		}
	}
}

// A table that is cut off would lack what is told apart by it.
func TestATableTooLargeIsRefused(t *testing.T) {
	long := strings.Repeat("x", 4000)
	for lines, line := range map[int]string{
		maxEntries + 1:       "614 612 8:1 / /x rw - ext4 /dev/sda1 rw\n",
		maxTable/4000/16 + 1: "614 612 8:1 / /x rw - ext4 /dev/sda1 rw," + strings.Repeat(long, 16) + "\n",
	} {
		if _, err := parse(strings.NewReader(strings.Repeat(line, lines))); !errors.Is(err, ErrTooMany) {
			t.Errorf("of %d lines got %v", lines, err)
		}
	}
	if entries, err := parse(strings.NewReader(strings.Repeat("614 612 8:1 / /x rw - ext4 /dev/sda1 rw\n", maxEntries))); err != nil || len(entries) != maxEntries {
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestOption(t *testing.T) {
	f := Filesystem{Options: []string{"index=off", "upperdir=/a=b", "ro", "empty="}}
	for name, want := range map[string]string{"index": "off", "upperdir": "/a=b", "ro": "", "empty": "", "upper": "", "": ""} {
		if got := f.Option(name); got != want {
			t.Errorf("option %q is %q, want %q", name, got, want)
		}
	}
}

func TestRootOfAProcess(t *testing.T) {
	proc := openProc(t)
	root, table, err := Root(proc, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if root.Path != "/" || len(table) < 2 {
		t.Errorf("our root is %+v of %d mounts", root, len(table))
	}
	if _, _, err := Root(proc, 1<<30); err == nil || !strings.Contains(err.Error(), "1073741824") {
		t.Errorf("a process that cannot be: %v", err)
	}
}

// Its root is on no mount of its table, and another root would not reach it.
func TestAChrootedProcessIsRefused(t *testing.T) {
	proc, dir := openProc(t), t.TempDir()
	err := Thread(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return err
		}
		if err := unix.Chroot(dir); err != nil {
			return err
		}
		_, _, err := Root(proc, unix.Gettid())
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "chrooted") {
		t.Errorf("got %v", err)
	}
}

func openProc(t *testing.T) *os.File {
	t.Helper()
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proc.Close() })
	return proc
}

// What was mounted from its directory, to fit a page, has its layers relative.
func TestTheLowerLayersOfAnOverlay(t *testing.T) {
	for super, want := range map[string]string{
		"rw,lowerdir=/s/2/fs:/s/1/fs,upperdir=/s/3/fs,workdir=/s/3/work":       "ro,lowerdir=/s/2/fs:/s/1/fs:/empty",
		"rw,lowerdir=2/fs:1/fs,upperdir=/s/3/fs,userxattr":                     "ro,userxattr,lowerdir=/s/2/fs:/s/1/fs:/empty",
		"rw,lowerdir+=/s/2/fs,lowerdir+=/s/1/fs,upperdir=/s/3/fs,redirect_dir": "ro,lowerdir=/s/2/fs:/s/1/fs:/empty",
	} {
		got := Entry{Super: strings.Split(super, ",")}.Lower("/empty")
		if options := strings.Join(got.Options, ","); options != want || got.Type != "overlay" {
			t.Errorf("of %s it is %s %s, want %s", super, got.Type, options, want)
		}
	}
}
