package layer

import (
	"context"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// leaf does again what the container did to something that is no directory.
func (c *Copy) leaf(ctx context.Context, it item, r *record) error {
	old, st, err := hold(c.views.Old, it.path)
	if err != nil {
		return err
	}
	defer old.Close()
	if kind(st) != kind(it.stat) {
		return errGone
	}
	if it.own {
		return c.put(ctx, it, r, old, st)
	}
	base, baseStat, err := hold(c.views.Base, it.path)
	if err != nil {
		if err := ifGone(err); err != nil {
			return err
		}
		return c.put(ctx, it, r, old, st)
	}
	defer base.Close()
	it.base = kind(baseStat)
	same, err := c.same(ctx, old, base, st, baseStat)
	if err != nil {
		return err
	}
	if same {
		return c.adjust(it, r, old, base)
	}
	return c.put(ctx, it, r, old, st)
}

// put puts the container's own in the place of what the new root has.
func (c *Copy) put(ctx context.Context, it item, r *record, old *os.File, st unix.Stat_t) error {
	src, err := c.source(it, old, st)
	if err != nil {
		return err
	}
	defer src.Close()
	dir, err := c.parent(it.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := c.displace(dir, it, r); err != nil {
		return err
	}
	r.did = put
	c.touched[parentOf(it.path)] = true
	if st.Nlink > 1 {
		if done, err := c.link(st.Ino, dir, path.Base(it.path)); done || err != nil {
			return err
		}
		c.linked[st.Ino] = it.path
	}
	return c.create(ctx, dir, path.Base(it.path), src, st)
}

// source is a file opened to be read; of anything else there is nothing to read.
func (c *Copy) source(it item, old *os.File, st unix.Stat_t) (*os.File, error) {
	if kind(st) != unix.S_IFREG {
		fd, err := unix.FcntlInt(old.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewFile(uintptr(fd), it.path), err
	}
	if !c.final {
		c.clean(it.path)
	}
	return content(old)
}

// clean writes a file's dirty pages out. A program that has it mapped writes to
// dirty pages without the kernel taking note; to clean ones it cannot, so that
// the next pass will see that the file was changed.
func (c *Copy) clean(name string) {
	upper, st, err := hold(c.views.Upper, name)
	if err != nil {
		return // lies in a lower layer, under another name: not mapped
	}
	defer upper.Close()
	if kind(st) != unix.S_IFREG {
		return
	}
	f, err := content(upper)
	if err != nil {
		return
	}
	defer f.Close()
	unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE_AND_WAIT)
}

// displace takes away what the new root has at a path.
func (c *Copy) displace(dir *os.File, it item, r *record) error {
	name := path.Base(it.path)
	is, err := c.look(dir, it, r)
	if err != nil || kind(is) == 0 {
		return err
	}
	r.displaced = r.displaced || !r.ours() && !c.implied[it.path]
	r.image = nil
	delete(c.implied, it.path)
	if !isDir(is) {
		return unix.Unlinkat(int(dir.Fd()), name, 0)
	}
	return c.clear(dir, it.path)
}

// look sees what the new root has at a path, and refuses what does not fit it.
func (c *Copy) look(dir *os.File, it item, r *record) (unix.Stat_t, error) {
	is, err := lstat(dir, path.Base(it.path))
	if err != nil {
		return is, err
	}
	if !r.looked && !c.implied[it.path] {
		r.there = kind(is)
		r.leads = r.there == unix.S_IFLNK && leadsToDir(c.views.Next, it.path)
	}
	r.looked = true
	if !r.fits(it) {
		return is, otherKind(it.path)
	}
	return is, nil
}

// fits tells whether the container's deed makes sense on the new image: where
// only one of the two has a directory, it must be that the container made it so.
func (r *record) fits(it item) bool {
	isDir, wasDir := r.there == unix.S_IFDIR, it.base == unix.S_IFDIR
	switch {
	case r.there == 0:
		return true
	case it.whiteout:
		return isDir == wasDir || r.leads && wasDir
	case it.isDir():
		return isDir || r.leads || it.base != 0 && !wasDir
	}
	return !isDir || wasDir
}

// clear takes a directory away with all that is in it. The kernel would take
// what has been mounted below it along.
func (c *Copy) clear(dir *os.File, name string) error {
	for mounted := range c.exclude {
		if c.final && below(mounted, name) {
			return fmt.Errorf("%w: it was removed, but /%s in it is mounted", ErrMoved, mounted)
		}
	}
	root, err := os.OpenRoot(reference(dir))
	if err != nil {
		return err
	}
	defer root.Close()
	for path := range c.done {
		if below(path, name) {
			delete(c.done, path)
		}
	}
	for path := range c.implied {
		if below(path, name) {
			delete(c.implied, path)
		}
	}
	return root.RemoveAll(path.Base(name))
}

func below(name, dir string) bool {
	return len(name) > len(dir) && name[:len(dir)] == dir && name[len(dir)] == '/'
}

// remove does a deletion again.
func (c *Copy) remove(it item, r *record) (err error) {
	if it.base, err = c.baseKind(it.path); err != nil {
		return err
	}
	dir, err := inside(c.views.Next, parentOf(it.path), unix.O_DIRECTORY)
	if err == nil {
		defer dir.Close()
		c.touched[parentOf(it.path)] = true
		err = c.displace(dir, it, r)
	}
	r.did = removed
	return ifLacking(err)
}

// directory has a directory of the container's on the new root, or its changes
// made to the one that is there.
func (c *Copy) directory(it item, r *record) error {
	old, st, err := hold(c.views.Old, it.path)
	if err != nil {
		return err
	}
	defer old.Close()
	if !isDir(st) {
		return errGone
	}
	if !it.own {
		base, _, err := hold(c.views.Base, it.path)
		if err != nil {
			return err
		}
		defer base.Close()
		return c.adjust(it, r, old, base)
	}
	dir, err := c.parent(it.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	c.touched[parentOf(it.path)], c.touched[it.path] = true, true
	return c.putDir(dir, it, r, old)
}

// putDir merges a directory that the container made with the new image's, but
// not one that it made in the place of the old image's.
func (c *Copy) putDir(dir *os.File, it item, r *record, old *os.File) error {
	is, err := c.look(dir, it, r)
	if err != nil {
		return err
	}
	ours := r.ours() || c.implied[it.path]
	switch {
	case isDir(is) && (!it.replaces() || r.inode == it.stat.Ino):
		return c.mergeDir(dir, it, r, old)
	case r.leads && it.base == 0 && !ours:
		r.did = nothing // what is in it goes where the symlink leads
		return nil
	}
	if err := c.displace(dir, it, r); err != nil {
		return err
	}
	r.did, r.inode = put, it.stat.Ino
	return makeDir(dir, path.Base(it.path), old)
}

func (c *Copy) mergeDir(dir *os.File, it item, r *record, old *os.File) error {
	next, err := inside(dir, path.Base(it.path), unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer next.Close()
	if r.image == nil && !r.ours() && !c.implied[it.path] {
		if r.image, err = metaOf(next); err != nil {
			return err
		}
	}
	delete(c.implied, it.path)
	r.did, r.inode = put, it.stat.Ino
	return copyMeta(old, next)
}

func leadsToDir(root *os.File, name string) bool {
	f, err := inside(root, name, unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
