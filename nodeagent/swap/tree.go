package swap

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// swap is the state of one swap on its thread.
type swap struct {
	Request
	result Result

	progress atomic.Pointer[progress]

	proc, cgroups *os.File // of the host, held because we change namespaces
	container     *os.File // the container's mount namespace
	staging       *os.File // our own
	root          mount.Entry
	pieces        []*piece
	tree          *os.File
	tracer        *tracer
	layer         layered
	tools         map[int]tools // of processes whose working directory will stay behind
}

// piece is a part of the old tree that goes into the new one: a mount below the
// root, or a carried path.
type piece struct {
	id    uint64 // of the mount it lies on
	from  string // as the container's namespace has it
	to    string // as the OCI spec writes it
	tree  *os.File
	isDir bool
	// A mount takes along what is mounted below it; of a carried path those are
	// pieces of their own.
	nested, carried bool
}

func (s *swap) close() {
	for _, f := range []*os.File{s.proc, s.cgroups, s.container, s.staging, s.tree} {
		if f != nil {
			f.Close()
		}
	}
	s.layer.close()
	for _, p := range s.pieces {
		if p.tree != nil {
			p.tree.Close()
		}
	}
}

// inspect finds the container's root and what is mounted below it.
func (s *swap) inspect() (err error) {
	if err := s.claim(); err != nil {
		return err
	}
	var table []mount.Entry
	if err := patiently(func() (err error) {
		s.root, table, err = mount.Root(s.proc, s.PID)
		return err
	}); err != nil {
		return err
	}
	s.pieces = firstLevel(s.root, table)
	if len(s.pieces) > maxPieces {
		return fmt.Errorf("the container has %d mounts on its root, more than the %d that are taken along", len(s.pieces), maxPieces)
	}
	if s.Hold != nil {
		return nil // every millisecond counts, and nothing more is known yet
	}
	return s.destinations()
}

// maxPieces bounds the files that a swap has open: those are all containers'.
const maxPieces = 1000

// claim takes hold of the host's /proc and of the container, which is ours until
// we end.
func (s *swap) claim() (err error) {
	if s.proc, s.cgroups, err = openHost(s.CgroupDir); err != nil {
		return err
	}
	if err := patiently(func() (err error) {
		s.container, err = os.Open(fmt.Sprintf("/proc/%d/ns/mnt", s.PID))
		return err
	}); err != nil {
		return fmt.Errorf("the container's first process is gone: %w", err)
	}
	return lock(s.container)
}

// firstLevel are the mounts directly on the root; where others are stacked on
// one, the topmost, which is the one that is seen. Our own parking place is none
// of them.
func firstLevel(root mount.Entry, table []mount.Entry) []*piece {
	seen := map[string]*piece{}
	for _, e := range table { // what lies on another mount stands after it
		below := seen[e.Path]
		switch {
		case e.ID == root.ID || e.Path == park:
		case e.Parent == root.ID:
			seen[e.Path] = &piece{id: e.ID, from: e.Path, to: e.Path, nested: true}
		case below != nil && e.Parent == below.id:
			below.id = e.ID
		}
	}
	return slices.SortedFunc(maps.Values(seen), func(a, b *piece) int { return strings.Compare(a.from, b.from) })
}

// destinations finds for each mount the path that the OCI spec gave it: the
// kernel shows /run/secrets where the spec says /var/run/secrets and the image
// has a symlink, which the new image may not have.
func (s *swap) destinations() error {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", s.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, destination := range s.Destinations {
		place, err := openIn(root, destination)
		if err != nil {
			continue // hidden below another mount: it comes along with that
		}
		id, _, err := mount.ID(int(place.Fd()), "", unix.AT_EMPTY_PATH)
		place.Close()
		if err != nil {
			return err
		}
		for _, p := range s.pieces {
			if p.id == id {
				p.to = path.Clean(destination)
			}
		}
	}
	return nil
}

// stage mounts the new root where only this thread sees it.
func (s *swap) stage() (err error) {
	if s.Root.Filesystem == nil {
		return s.stageExisting()
	}
	if s.staging, err = mount.Private(); err != nil {
		return err
	}
	if err := s.stageImage(); err != nil {
		return err
	}
	return mount.Mount(*s.Root.Filesystem, s.StageDir)
}

// stageExisting clones a mount out of the namespace of a process that has it.
func (s *swap) stageExisting() (err error) {
	holder, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", s.Root.PID))
	if err != nil {
		return fmt.Errorf("the process that holds the original root is gone: %w", err)
	}
	defer holder.Close()
	if s.staging, err = mount.Private(); err != nil {
		return err
	}
	if err := mount.Enter(holder); err != nil {
		return err
	}
	tree, err := mount.Clone(unix.AT_FDCWD, s.Root.Path, false)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := mount.Enter(s.staging); err != nil {
		return err
	}
	if err := mount.Attach(tree, s.StageDir); err != nil {
		return err
	}
	return mount.Unshare(s.StageDir)
}

// clone takes a copy of every piece from inside the container's namespace.
func (s *swap) clone() error {
	if err := mount.Enter(s.container); err != nil {
		return err
	}
	if err := s.clearLeftovers(); err != nil {
		return err
	}
	if err := s.isOnRoot(); err != nil {
		return err
	}
	if err := s.cloneRoot(); err != nil {
		return err
	}
	for _, p := range s.pieces {
		if err := p.clone(unix.RESOLVE_NO_SYMLINKS); err != nil {
			return err
		}
	}
	var carried []*piece
	for _, name := range s.Carry {
		p, err := s.carried(name)
		if err != nil {
			return err
		}
		if p != nil {
			carried = append(carried, p)
		}
	}
	// Carried paths first: what is mounted below them must end up on top.
	s.pieces = append(carried, s.pieces...)
	return nil
}

// carried is the piece for a path that stays; nil where the old root has no
// such path, or where it lies on a mount and comes along with that.
func (s *swap) carried(name string) (*piece, error) {
	p := &piece{from: name, to: name, carried: true}
	err := p.clone(unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS)
	switch {
	case errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR):
		return nil, nil
	case err != nil:
		return nil, err
	case p.id != s.root.ID:
		return nil, p.tree.Close()
	}
	return p, nil
}

func (p *piece) clone(resolve uint64) error {
	place, err := open(unix.AT_FDCWD, p.from, 0, resolve)
	if err != nil {
		return fmt.Errorf("open %s in the container: %w", p.from, err)
	}
	defer place.Close()
	id, isDir, err := mount.ID(int(place.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	if p.id != 0 && p.id != id {
		return fmt.Errorf("the mount at %s changed under us", p.from)
	}
	p.id, p.isDir = id, isDir
	p.tree, err = mount.Clone(int(place.Fd()), "", p.nested)
	return err
}

// compose puts the pieces into the new root and takes hold of the whole.
func (s *swap) compose() error {
	if err := mount.Enter(s.staging); err != nil {
		return err
	}
	for _, p := range s.pieces {
		if err := s.place(p); err != nil {
			return err
		}
	}
	if err := s.hasProgram(); err != nil {
		return err
	}
	if err := mount.Restrict(s.StageDir, s.root.Options); err != nil {
		return err
	}
	tree, err := mount.Clone(unix.AT_FDCWD, s.StageDir, true)
	s.tree = tree
	return err
}

// place makes the mountpoint inside the new root, where no symlink leads out,
// and puts the piece on it. A carried path that another one has brought already
// (/var/run, where that is a symlink to /run) is not put on top of it.
func (s *swap) place(p *piece) error {
	target, err := mountpoint(s.StageDir, p.to, p.isDir)
	if err != nil {
		return fmt.Errorf("make the mountpoint %s in the new root: %w", p.to, err)
	}
	defer target.Close()
	if p.carried {
		root, _, err := mount.ID(unix.AT_FDCWD, s.StageDir, 0)
		if err != nil {
			return err
		}
		if on, _, err := mount.ID(int(target.Fd()), "", unix.AT_EMPTY_PATH); err != nil || on != root {
			return err
		}
	}
	return mount.AttachTo(p.tree, target)
}
