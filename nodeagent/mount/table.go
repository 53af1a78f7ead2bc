package mount

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Entry is one mount of a process's namespace.
type Entry struct {
	ID, Parent uint64
	Path       string
	Type       string
	Options    []string // of the mount: ro, nosuid, …
	Super      []string // of the filesystem: upperdir=…, …
}

// SuperOption is the value of a filesystem's option, or "".
func (e Entry) SuperOption(name string) string {
	return Filesystem{Options: e.Super}.Option(name)
}

// Lower is an overlay of the same lower layers and nothing to write to. Empty is
// a directory with nothing in it: the kernel wants two layers.
func (e Entry) Lower(empty string) Filesystem {
	base := layersDir(e.SuperOption("upperdir"))
	var layers []string
	options := []string{"ro"}
	for _, o := range e.Super {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "lowerdir", "lowerdir+":
			layers = append(layers, strings.Split(value, ":")...)
		case "userxattr":
			options = append(options, o)
		}
	}
	for i, layer := range layers {
		if !filepath.IsAbs(layer) { // it was mounted from there, to fit a page
			layers[i] = filepath.Join(base, layer)
		}
	}
	return Filesystem{Type: "overlay", Source: "overlay", Options: append(options, "lowerdir="+strings.Join(append(layers, empty), ":"))}
}

// Table reads the mounts that a process sees. Proc is a directory of the proc
// filesystem with the host's PIDs.
func Table(proc *os.File, pid int) ([]Entry, error) {
	fd, err := unix.Openat(int(proc.Fd()), fmt.Sprintf("%d/mountinfo", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, failed("open", fmt.Sprintf("mountinfo of process %d", pid), err)
	}
	f := os.NewFile(uintptr(fd), "mountinfo")
	defer f.Close()
	return parse(f)
}

// A container that may mount could have the kernel write a table that does not
// fit our memory, and take us from all others.
const (
	maxEntries = 20_000
	maxTable   = 8 << 20 // bytes
)

// ErrTooMany says that a process sees more mounts than are read.
var ErrTooMany = fmt.Errorf("it has more mounts than the %d, in %d MiB of text, that are looked at", maxEntries, maxTable>>20)

func parse(r io.Reader) ([]Entry, error) {
	var entries []Entry
	bounded := &io.LimitedReader{R: r, N: maxTable}
	_, err := mountinfo.GetMountsFromReader(bounded, func(m *mountinfo.Info) (skip, stop bool) {
		entries = append(entries, Entry{ID: uint64(m.ID), Parent: uint64(m.Parent), Path: m.Mountpoint, Type: m.FSType,
			Options: strings.Split(m.Options, ","), Super: strings.Split(m.VFSOptions, ",")})
		return true, len(entries) > maxEntries
	})
	if len(entries) > maxEntries || bounded.N == 0 { // the last line is cut off
		return nil, ErrTooMany
	}
	return entries, err
}

// ID is the mount that a path leads to, and whether it is a directory. Like all
// that looks at paths here it asks no server: one that does not answer would
// keep us for good.
func ID(dir int, path string, flags int) (id uint64, isDir bool, err error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, path, flags|unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID|unix.STATX_TYPE, &st); err != nil {
		return 0, false, failed("statx", path, err)
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return 0, false, failed("statx", path+" mount ID", unix.ENOSYS)
	}
	return st.Mnt_id, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// Place is what a path leads to: a file of a filesystem, as one mount shows it.
type Place struct {
	Mount uint64
	File  File
	// Deleted: it has no name any more.
	Deleted bool
}

// File is a file, whichever mount shows it.
type File struct {
	Major, Minor uint32
	Inode        uint64
}

// PlaceOf looks where a path leads.
func PlaceOf(dir int, path string) (Place, error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, path, unix.AT_STATX_DONT_SYNC, unix.STATX_MNT_ID|unix.STATX_INO|unix.STATX_NLINK, &st); err != nil {
		return Place{}, failed("statx", path, err)
	}
	return Place{Mount: st.Mnt_id, File: File{st.Dev_major, st.Dev_minor, st.Ino}, Deleted: st.Nlink == 0}, nil
}

// Device is the number of the filesystem that a path leads to: the same for all
// mounts of one overlay, also where it is no longer mounted but used.
func Device(dir int, path string) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(dir, path, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &st); err != nil {
		return 0, failed("statx", path, err)
	}
	return unix.Mkdev(st.Dev_major, st.Dev_minor), nil
}

// Root is the mount that is a process's root.
func Root(proc *os.File, pid int) (Entry, []Entry, error) {
	id, _, err := ID(int(proc.Fd()), fmt.Sprintf("%d/root", pid), 0)
	if err != nil {
		return Entry{}, nil, err
	}
	table, err := Table(proc, pid)
	if err != nil {
		return Entry{}, nil, err
	}
	for _, e := range table {
		if e.ID == id {
			return e, table, nil
		}
	}
	return Entry{}, nil, fmt.Errorf("the root of process %d is not among its mounts: it is chrooted", pid)
}
