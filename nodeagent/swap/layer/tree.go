package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// beneath opens a path of a tree that the container may be changing. No symlink
// is followed, nothing leads out, and nothing is opened for what it is: a device
// could act, a pipe could block.
func beneath(root *os.File, name string, flags uint64) (*os.File, error) {
	f, err := open(root, name, flags|unix.O_NOFOLLOW, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	return f, err
}

// inside holds a path of the new root, whose symlinks lead where they would lead
// the container, and never out.
func inside(root *os.File, name string, flags uint64) (*os.File, error) {
	return open(root, name, flags|unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

func open(root *os.File, name string, flags, resolve uint64) (*os.File, error) {
	if name == "" {
		name = "."
	}
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve}
	for attempt := 1; ; attempt++ {
		fd, err := unix.Openat2(int(root.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case (err == unix.EAGAIN || err == unix.EINTR) && attempt < 64: // a rename elsewhere, while ".." was followed
		default:
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// hold opens nothing: the file can be looked at, and changed by its reference.
func hold(root *os.File, name string) (*os.File, unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := beneath(root, name, unix.O_PATH)
	if err != nil {
		return nil, st, err
	}
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, st, err
	}
	return f, st, nil
}

// reference is a path to what is held, whatever its name has become. Needs /proc.
func reference(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// content opens a file that is held, to read it. A process may have a lease on it,
// and is waited for only for a moment: it may be standing still, for us.
func content(f *os.File) (*os.File, error) {
	for attempt := 1; ; attempt++ {
		opened, err := os.OpenFile(reference(f), os.O_RDONLY|unix.O_NONBLOCK, 0)
		switch {
		case !errors.Is(err, unix.EWOULDBLOCK):
			return opened, err
		case attempt == 10:
			return nil, fmt.Errorf("a process has a lease on it, and keeps it: %w", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// lstat looks at an entry of a directory; a zero mode says that there is none.
func lstat(dir *os.File, name string) (st unix.Stat_t, err error) {
	err = unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return unix.Stat_t{}, nil
	}
	return st, err
}

func kind(st unix.Stat_t) uint32 { return st.Mode & unix.S_IFMT }

func isDir(st unix.Stat_t) bool { return kind(st) == unix.S_IFDIR }

// parent holds the directory of the new root that a path lies in. Where the new
// image has none it is made, as the old root has it.
func (c *Copy) parent(name string) (*os.File, error) {
	dir := parentOf(name)
	f, err := inside(c.views.Next, dir, unix.O_DIRECTORY)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir != "":
		return c.imply(dir)
	case errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP):
		return nil, otherKind(dir)
	}
	return f, err
}

func (c *Copy) imply(dir string) (*os.File, error) {
	old, _, err := hold(c.views.Old, dir)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	above, err := c.parent(dir)
	if err != nil {
		return nil, err
	}
	defer above.Close()
	switch err := makeDir(above, path.Base(dir), old); {
	case errors.Is(err, unix.EEXIST): // a symlink to nowhere
		return nil, otherKind(dir)
	case err != nil:
		return nil, err
	}
	c.implied[dir] = true
	c.touched[dir], c.touched[parentOf(dir)] = true, true
	return inside(above, path.Base(dir), unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

// makeDir makes a directory like the old one.
func makeDir(dir *os.File, name string, like *os.File) error {
	if err := unix.Mkdirat(int(dir.Fd()), name, 0o700); err != nil {
		return err
	}
	f, err := inside(dir, name, unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer f.Close()
	return copyMeta(like, f)
}

func parentOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

func otherKind(name string) error {
	return fmt.Errorf("the new image has something of another kind at /%s, and the container's writes do not fit it", name)
}
