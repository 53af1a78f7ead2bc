package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// mountpoint opens a path inside the new root, making what is missing. The
// image's symlinks are followed as the container would follow them: an absolute
// one starts at the new root, and none leads out of it.
func mountpoint(dir, name string, isDir bool) (*os.File, error) {
	base, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	if f, err := openIn(base, name); !errors.Is(err, fs.ErrNotExist) {
		return sameKind(f, name, isDir, err)
	}
	parent, err := makeDirs(base, path.Dir(name), 0)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := makeEntry(parent, path.Base(name), isDir); err != nil {
		return nil, err
	}
	return openIn(base, name)
}

// makeDirs opens a directory inside base and makes it, and its parents, where
// they are missing.
func makeDirs(base *os.File, name string, depth int) (*os.File, error) {
	f, err := openIn(base, name)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if depth > 64 {
		return nil, fmt.Errorf("%s is nested too deeply", name)
	}
	parent, err := makeDirs(base, path.Dir(name), depth+1)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := makeEntry(parent, path.Base(name), true); err != nil {
		return nil, err
	}
	return openIn(base, name)
}

func makeEntry(parent *os.File, name string, isDir bool) error {
	if isDir {
		return ignoreExists(unix.Mkdirat(int(parent.Fd()), name, 0o755))
	}
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return ignoreExists(err)
	}
	return unix.Close(fd)
}

func ignoreExists(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func openIn(base *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat2(int(base.Fd()), name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// sameKind refuses to put a directory on a file, or the other way round.
func sameKind(f *os.File, name string, isDir bool, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() == isDir {
		return f, nil
	}
	f.Close()
	return nil, errors.Join(fmt.Errorf("the new image has something of another kind at %s", name), err)
}
