package swap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// maxDepth bounds directories and symlinks on the way to a mountpoint.
const maxDepth = 64

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
	return makeIn(base, path.Clean("/"+name), isDir, 0)
}

// existing opens a path inside the new root that must be there.
func existing(dir, name string) (*os.File, error) {
	base, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	return openIn(base, name)
}

// makeIn makes a directory or file inside base, with the directories above it.
// Where the image has a symlink that leads nowhere yet, what it points to is
// made: /run of an image with /var/run → /run and nothing else.
func makeIn(base *os.File, name string, isDir bool, depth int) (*os.File, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%s is nested too deeply", name)
	}
	parent, err := openIn(base, path.Dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		parent, err = makeIn(base, path.Dir(name), true, depth+1)
	}
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	err = makeEntry(parent, path.Base(name), isDir)
	if errors.Is(err, fs.ErrExist) {
		to, err := readLink(parent, path.Base(name))
		if err != nil {
			return nil, err
		}
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(name), to)
		}
		return makeIn(base, to, isDir, depth+1)
	}
	if err != nil {
		return nil, err
	}
	return openIn(base, name)
}

func makeEntry(parent *os.File, name string, isDir bool) error {
	if isDir {
		return unix.Mkdirat(int(parent.Fd()), name, 0o755)
	}
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func readLink(parent *os.File, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(parent.Fd()), name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

func openIn(base *os.File, name string) (*os.File, error) {
	return open(int(base.Fd()), name, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

// open takes hold of a path without opening what it leads to. A mount or rename
// anywhere on the node disturbs a look-up that goes over "..", and one container
// could do so without end.
func open(dir int, name string, flags, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: flags | unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve}
	for attempt := 1; ; attempt++ {
		fd, err := unix.Openat2(dir, name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.EAGAIN) || attempt == 64:
			return nil, err
		}
	}
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
