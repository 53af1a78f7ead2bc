package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// portion is how much is read between two looks at the time.
const portion = 1 << 20

// create makes a copy of something that is no directory.
func (c *Copy) create(ctx context.Context, dir *os.File, name string, src *os.File, st unix.Stat_t) (err error) {
	switch kind(st) {
	case unix.S_IFREG:
		err = c.createFile(ctx, dir, name, src)
	case unix.S_IFLNK:
		var to string
		if to, err = linkText(src); err == nil {
			err = unix.Symlinkat(to, int(dir.Fd()), name)
		}
	default:
		err = unix.Mknodat(int(dir.Fd()), name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return err
	}
	next, err := inside(dir, name, unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer next.Close()
	return errors.Join(copyMeta(src, next), copyTimes(src, next))
}

func (c *Copy) createFile(ctx context.Context, dir *os.File, name string, src *os.File) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(fd), name)
	return errors.Join(c.content(ctx, dst, src), dst.Close())
}

// content copies as much as there is now, and leaves holes out. What a writer
// adds meanwhile comes with the next pass.
func (c *Copy) content(ctx context.Context, dst, src *os.File) error {
	info, err := src.Stat()
	if err != nil {
		return err
	}
	for offset := int64(0); offset < info.Size(); {
		start, end, err := data(src, offset)
		if err == nil {
			offset = min(end, info.Size())
			err = c.segment(ctx, dst, src, start, offset)
		}
		if errors.Is(err, unix.ENXIO) || errors.Is(err, io.EOF) {
			break // only a hole is left, or it was cut off meanwhile
		}
		if err != nil {
			return err
		}
	}
	return dst.Truncate(info.Size())
}

// data is where a file has content, from an offset on.
func data(f *os.File, offset int64) (start, end int64, err error) {
	if start, err = f.Seek(offset, unix.SEEK_DATA); err != nil {
		return 0, 0, err
	}
	end, err = f.Seek(start, unix.SEEK_HOLE)
	return start, end, err
}

func (c *Copy) segment(ctx context.Context, dst, src *os.File, start, end int64) error {
	_, errSrc := src.Seek(start, io.SeekStart)
	_, errDst := dst.Seek(start, io.SeekStart)
	if err := errors.Join(errSrc, errDst); err != nil {
		return err
	}
	for at := start; at < end; at += portion {
		n := min(portion, end-at)
		if err := errors.Join(context.Cause(ctx), c.spend(n)); err != nil {
			return err
		}
		if _, err := io.CopyN(dst, src, n); err != nil {
			return err
		}
	}
	return nil
}

// link makes another name of what was copied under its first.
func (c *Copy) link(inode uint64, dir *os.File, name string) (done bool, err error) {
	first, ok := c.linked[inode]
	if !ok {
		return false, nil
	}
	f, err := inside(c.views.Next, first, unix.O_NOFOLLOW)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return true, unix.Linkat(unix.AT_FDCWD, reference(f), int(dir.Fd()), name, unix.AT_SYMLINK_FOLLOW)
}

// same tells whether the old image has the same at the path.
func (c *Copy) same(ctx context.Context, old, base *os.File, st, baseStat unix.Stat_t) (bool, error) {
	if kind(st) != kind(baseStat) {
		return false, nil
	}
	switch kind(st) {
	case unix.S_IFREG:
		if st.Size != baseStat.Size {
			return false, nil
		}
		return c.sameContent(ctx, old, base, st.Size)
	case unix.S_IFLNK:
		a, errA := linkText(old)
		b, errB := linkText(base)
		return a == b, errors.Join(errA, errB)
	}
	return st.Rdev == baseStat.Rdev, nil
}

func (c *Copy) sameContent(ctx context.Context, old, base *os.File, bytesToRead int64) (bool, error) {
	// Files of holes are small in the layer, and long to read.
	if c.compared += bytesToRead; c.compared > 16*c.limit.Bytes {
		return false, c.tooLarge(fmt.Sprintf("files of %s to compare with the old image", size(c.compared)))
	}
	a, err := content(old)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := os.Open(reference(base))
	if err != nil {
		return false, err
	}
	defer b.Close()
	return equal(ctx, a, b)
}

func equal(ctx context.Context, a, b io.Reader) (bool, error) {
	inA, inB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, inA)
		m, errB := io.ReadFull(b, inB)
		switch endA, endB := ended(errA), ended(errB); {
		case errA != nil && !endA || errB != nil && !endB:
			return false, errors.Join(errA, errB)
		case !bytes.Equal(inA[:n], inB[:m]):
			return false, nil
		case endA || endB:
			return endA && endB, nil
		}
		if err := context.Cause(ctx); err != nil {
			return false, err
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func linkText(f *os.File) (string, error) {
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", text)
	if err != nil {
		return "", fmt.Errorf("read the symlink %s: %w", path.Base(f.Name()), err)
	}
	return string(text[:n]), nil
}
