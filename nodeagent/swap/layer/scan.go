package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// item is one path that the container made, changed or deleted.
type item struct {
	path     string
	stat     unix.Stat_t
	stamp    stamp
	whiteout bool
	// own: all that is there is the container's, and is not measured against the
	// old image.
	own bool
	// base is the kind of thing that the old image has there; of files it is
	// looked up when it is needed.
	base uint32
}

func (it item) isDir() bool { return kind(it.stat) == unix.S_IFDIR }

// replaces tells whether a directory stands in the place of another one, whose
// content the container does not want.
func (it item) replaces() bool { return it.own && it.base == unix.S_IFDIR }

// stamp is equal as long as nothing has changed. The kernel sets the time of
// change with every write, chmod, rename and link.
type stamp struct {
	inode, device     uint64
	size              int64
	mode              uint32
	changed, modified moment
	whiteout, own     bool
}

// moment is a time as files have it, which can be compared by ==.
type moment struct{ seconds, nanos int64 }

func at(t unix.Timespec) moment { return moment{int64(t.Sec), int64(t.Nsec)} }

func (m moment) before(t unix.Timespec) bool {
	other := at(t)
	return m.seconds < other.seconds || m.seconds == other.seconds && m.nanos < other.nanos
}

func newItem(name string, st unix.Stat_t, own bool) item {
	it := item{path: name, stat: st, own: own}
	it.whiteout = kind(st) == unix.S_IFCHR && st.Rdev == 0 && !own
	it.stamp = stamp{inode: st.Ino, device: uint64(st.Rdev), size: st.Size, mode: st.Mode, changed: at(st.Ctim), modified: at(st.Mtim), whiteout: it.whiteout, own: own}
	return it
}

// found is what one look at the layer brought, directories before what is in
// them.
type found struct {
	items   []item
	bytes   int64
	inodes  map[uint64]bool // of files with several names
	sockets int
}

// scan looks through the whole layer without reading a file, and refuses one
// that is too large before anything is copied.
func (c *Copy) scan(ctx context.Context) (*found, error) {
	s := &found{inodes: map[uint64]bool{}}
	if err := c.scanUpper(ctx, s, "", false); err != nil {
		return nil, fmt.Errorf("look through the container's writes: %w", err)
	}
	if s.bytes > c.limit.Bytes {
		return nil, c.tooLarge(size(s.bytes) + " in " + entries(len(s.items)))
	}
	return s, nil
}

// scanUpper goes through a directory as overlayfs keeps it. In one that is
// marked, extended attributes may stand for whiteouts.
func (c *Copy) scanUpper(ctx context.Context, s *found, name string, marked bool) error {
	children, err := c.children(ctx, s, c.views.Upper, name, false)
	if err != nil {
		return err
	}
	for _, it := range children {
		if marked && c.standsForWhiteout(it) {
			it.whiteout, it.stamp.whiteout = true, true
		}
		if it.isDir() {
			err = c.scanDir(ctx, s, it)
		} else {
			err = c.add(s, it)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scanDir finds out whose a directory is: one that the old image has too holds
// changes, any other holds what is the container's alone.
func (c *Copy) scanDir(ctx context.Context, s *found, it item) error {
	opaque, redirected, err := c.marks(it.path)
	if err != nil {
		return ifGone(err)
	}
	if it.base, err = c.baseKind(it.path); err != nil {
		return err
	}
	it.own = it.base != unix.S_IFDIR || opaque == "y" || redirected
	it.stamp.own = it.own
	if err := c.add(s, it); err != nil {
		return err
	}
	if !it.own {
		return c.scanUpper(ctx, s, it.path, opaque == "x")
	}
	return c.scanOwn(ctx, s, it.path)
}

// scanOwn goes through a directory as the container sees it: all of it is the
// container's, also what lies in lower layers under another name.
func (c *Copy) scanOwn(ctx context.Context, s *found, name string) error {
	children, err := c.children(ctx, s, c.views.Old, name, true)
	if err != nil {
		return err
	}
	for _, it := range children {
		if err := c.add(s, it); err != nil {
			return err
		}
		if it.isDir() {
			if err := c.scanOwn(ctx, s, it.path); err != nil {
				return err
			}
		}
	}
	return nil
}

// children are what a directory holds; nothing, if it is gone. It is not kept
// open, for the container could nest more of them than we may open.
func (c *Copy) children(ctx context.Context, s *found, root *os.File, name string, own bool) (items []item, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	dir, err := beneath(root, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, ifGone(err)
	}
	defer dir.Close()
	names, err := c.list(s, dir)
	if err != nil {
		return nil, err
	}
	if name != "" {
		name += "/"
	}
	for _, entry := range names {
		child := name + entry
		if c.exclude[child] {
			continue
		}
		st, err := lstat(dir, entry)
		if err != nil {
			return nil, err
		}
		if kind(st) != 0 {
			items = append(items, newItem(child, st, own))
		}
	}
	return items, nil
}

// list reads names in portions: a directory may hold more than fit our memory. One
// that the container removes meanwhile holds nothing.
func (c *Copy) list(s *found, dir *os.File) (names []string, err error) {
	for {
		some, err := dir.Readdirnames(512)
		names = append(names, some...)
		switch {
		case errors.Is(err, io.EOF):
			slices.Sort(names)
			return names, nil
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil
		case err != nil:
			return nil, err
		case len(s.items)+len(names) > c.limit.Entries+len(c.exclude):
			return nil, c.tooManyEntries()
		}
	}
}

func (c *Copy) add(s *found, it item) error {
	if kind(it.stat) == unix.S_IFSOCK {
		s.sockets++
		return nil
	}
	if len(s.items) >= c.limit.Entries {
		return c.tooManyEntries()
	}
	s.items = append(s.items, it)
	if kind(it.stat) != unix.S_IFREG || s.inodes[it.stat.Ino] {
		return nil
	}
	if it.stat.Nlink > 1 {
		s.inodes[it.stat.Ino] = true
	}
	s.bytes += min(it.stat.Size, it.stat.Blocks*512) // holes take no place
	return nil
}

func (c *Copy) tooManyEntries() error {
	return c.tooLarge("more than " + entries(c.limit.Entries))
}

// baseKind is what the old image has at a path, 0 for nothing.
func (c *Copy) baseKind(name string) (uint32, error) {
	f, st, err := hold(c.views.Base, name)
	if err != nil {
		return 0, ifGone(err)
	}
	return kind(st), f.Close()
}

// marks are what overlayfs has noted on a directory: "y" that it hides what is
// below, "x" that it holds whiteouts of another form; or that it was renamed,
// and shows what lies under its former name.
func (c *Copy) marks(name string) (opaque string, redirected bool, err error) {
	f, _, err := hold(c.views.Upper, name)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	value := make([]byte, 16)
	if n, err := unix.Getxattr(reference(f), c.prefix()+"opaque", value); err == nil {
		opaque = string(value[:n])
	}
	_, err = unix.Getxattr(reference(f), c.prefix()+"redirect", nil)
	return opaque, err == nil, nil
}

func (c *Copy) standsForWhiteout(it item) bool {
	if kind(it.stat) != unix.S_IFREG || it.stat.Size > 0 {
		return false
	}
	f, _, err := hold(c.views.Upper, it.path)
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = unix.Getxattr(reference(f), c.prefix()+"whiteout", nil)
	return err == nil
}

func (c *Copy) prefix() string {
	if c.views.UserXattr {
		return "user.overlay."
	}
	return "trusted.overlay."
}

func ifGone(err error) error {
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}
