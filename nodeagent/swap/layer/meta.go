package layer

import (
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// meta is what a file has besides its content and times.
type meta struct {
	uid, gid, mode uint32
	xattrs         map[string]string
}

func (m *meta) equal(other *meta) bool {
	return m.uid == other.uid && m.gid == other.gid && m.mode == other.mode && maps.Equal(m.xattrs, other.xattrs)
}

// changed is m with what the container changed: the difference between was and
// is.
func (m *meta) changed(was, is *meta) *meta {
	out := &meta{uid: pick(m.uid, was.uid, is.uid), gid: pick(m.gid, was.gid, is.gid), mode: pick(m.mode, was.mode, is.mode), xattrs: maps.Clone(m.xattrs)}
	for name, value := range is.xattrs {
		if old, had := was.xattrs[name]; !had || old != value {
			out.xattrs[name] = value
		}
	}
	for name := range was.xattrs {
		if _, has := is.xattrs[name]; !has {
			delete(out.xattrs, name)
		}
	}
	return out
}

func pick(image, was, is uint32) uint32 {
	if was == is {
		return image
	}
	return is
}

func metaOf(f *os.File) (*meta, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	xattrs, err := xattrsOf(f)
	return &meta{uid: st.Uid, gid: st.Gid, mode: st.Mode & 0o7777, xattrs: xattrs}, err
}

// set gives a file what m says. A change of owner takes set-ID bits and
// capabilities away, so it comes first.
func (m *meta) set(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	if st.Uid != m.uid || st.Gid != m.gid {
		if err := unix.Fchownat(int(f.Fd()), "", int(m.uid), int(m.gid), unix.AT_EMPTY_PATH); err != nil {
			return &os.PathError{Op: "chown", Path: f.Name(), Err: err}
		}
	}
	now, err := metaOf(f)
	if err != nil {
		return err
	}
	if now.mode != m.mode && kind(st) != unix.S_IFLNK {
		if err := unix.Chmod(reference(f), m.mode); err != nil {
			return &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
		}
	}
	return m.setXattrs(f, now.xattrs)
}

func (m *meta) setXattrs(f *os.File, now map[string]string) error {
	for name := range now {
		if _, wanted := m.xattrs[name]; !wanted {
			if err := unix.Removexattr(reference(f), name); err != nil {
				return &os.PathError{Op: "remove the attribute " + name, Path: f.Name(), Err: err}
			}
		}
	}
	for name, value := range m.xattrs {
		if is, has := now[name]; has && is == value {
			continue
		}
		if err := unix.Setxattr(reference(f), name, []byte(value), 0); err != nil {
			return &os.PathError{Op: "set the attribute " + name, Path: f.Name(), Err: err}
		}
	}
	return nil
}

// xattrsOf leaves out what belongs to the place and not to the file: labels of
// SELinux, sums of IMA, overlayfs's own marks.
func xattrsOf(f *os.File) (map[string]string, error) {
	names, err := readXattr(func(b []byte) (int, error) { return unix.Listxattr(reference(f), b) })
	if err != nil {
		return nil, &os.PathError{Op: "list attributes", Path: f.Name(), Err: err}
	}
	out := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		if name == "" || slices.Contains([]string{"security.selinux", "security.ima", "security.evm"}, name) || strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		value, err := readXattr(func(b []byte) (int, error) { return unix.Getxattr(reference(f), name, b) })
		if errors.Is(err, unix.ENODATA) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, &os.PathError{Op: "read the attribute " + name, Path: f.Name(), Err: err}
		}
		out[name] = value
	}
	return out, nil
}

func readXattr(call func([]byte) (int, error)) (string, error) {
	n, err := call(nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && n == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	b := make([]byte, 64<<10) // the most that there can be: it may have grown
	n, err = call(b)
	return string(b[:max(n, 0)]), err
}

func copyMeta(from, to *os.File) error {
	m, err := metaOf(from)
	if err != nil {
		return err
	}
	return m.set(to)
}

func copyTimes(from, to *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, reference(to), []unix.Timespec{st.Atim, st.Mtim}, 0)
}

// adjust leaves the new image's content, and makes the container's changes of
// owner, mode and attributes to it.
func (c *Copy) adjust(it item, r *record, old, base *os.File) error {
	is, err := metaOf(old)
	if err != nil {
		return err
	}
	was, err := metaOf(base)
	if err != nil {
		return err
	}
	switch {
	case r.displaced || r.ours() && it.isDir():
		return ErrMoved
	case r.image == nil && r.did == nothing && !c.implied[it.path] && is.equal(was):
		return nil
	}
	dir, err := inside(c.views.Next, parentOf(it.path), unix.O_DIRECTORY)
	if err != nil {
		return ifLacking(err)
	}
	defer dir.Close()
	if r.ours() { // the old image's content again: what we put gives way
		r.did = nothing
		c.touched[parentOf(it.path)] = true
		return unix.Unlinkat(int(dir.Fd()), path.Base(it.path), 0)
	}
	next, err := inside(dir, path.Base(it.path), unix.O_NOFOLLOW)
	if err != nil {
		return ifLacking(err)
	}
	defer next.Close()
	if c.implied[it.path] {
		c.touched[it.path] = true
		return is.set(next)
	}
	return c.adjustTo(it, r, next, was, is)
}

func (c *Copy) adjustTo(it item, r *record, next *os.File, was, is *meta) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(next.Fd()), &st); err != nil || kind(st) != kind(it.stat) {
		return err // the new image has another thing there, and it stays
	}
	if r.image == nil {
		image, err := metaOf(next)
		if err != nil {
			return err
		}
		if image.changed(was, is).equal(image) {
			return nil
		}
		if kind(st) == unix.S_IFREG {
			if err := c.spend(st.Size); err != nil {
				return err
			}
		}
		r.image = image
	}
	r.did = adjusted
	return r.image.changed(was, is).set(next)
}

// ifLacking passes over that the new image lacks something.
func ifLacking(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
