package swap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/swap/layer"
)

// layered is what a copy of the writable layer needs; zero where none is asked
// for.
type layered struct {
	copy                   *layer.Copy
	upper, base, old, next *os.File
	// apart are the paths that come along as mounts, and carried ones where they
	// really are.
	apart []string
	// open are files that the container writes to.
	open []string
}

func (l *layered) close() {
	for _, f := range []*os.File{l.upper, l.base, l.old, l.next} {
		if f != nil {
			f.Close()
		}
	}
	*l = layered{}
}

// carriesLayer tells whether the container's writes go onto the new root.
func (s *swap) carriesLayer() bool {
	return s.Layer != nil && s.Root.Filesystem != nil && s.Hold == nil
}

// stageImage mounts the image of the old root, without what was written to it,
// to tell what the container has changed. It stays only as a detached tree.
func (s *swap) stageImage() (err error) {
	if !s.carriesLayer() {
		return nil
	}
	if s.root.SuperOption("upperdir") == "" {
		return fmt.Errorf("the root is a %s and no overlay: what was written to it cannot be told", s.root.Type)
	}
	if err := mount.Mount(s.root.Lower(s.StageDir), s.StageDir); err != nil {
		return fmt.Errorf("look at the image of the old root: %w", err)
	}
	if s.layer.base, err = mount.Clone(unix.AT_FDCWD, s.StageDir, false); err != nil {
		return err
	}
	return mount.Detach(s.StageDir)
}

// cloneRoot takes hold of the old root alone, without what is mounted on it.
func (s *swap) cloneRoot() (err error) {
	if !s.carriesLayer() {
		return nil
	}
	for _, p := range s.pieces {
		s.layer.apart = append(s.layer.apart, p.from, p.to)
	}
	for _, name := range s.Carry {
		s.layer.apart = append(s.layer.apart, name, s.realPath(name))
	}
	s.layer.old, err = mount.Clone(unix.AT_FDCWD, "/", false)
	return err
}

// realPath is where a path of the container leads; itself, if nowhere.
func (s *swap) realPath(name string) string {
	place, err := open(unix.AT_FDCWD, name, 0, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
	if err != nil {
		return name
	}
	defer place.Close()
	path, err := readLink(s.proc, fmt.Sprintf("self/fd/%d", place.Fd())) // the container's own /proc does not know us
	if err != nil {
		return name
	}
	return path
}

// carryLayer copies what the container wrote, while it goes on. The second pass
// leaves less to do for the third, in which it stands still.
func (s *swap) carryLayer(ctx context.Context) (err error) {
	if !s.carriesLayer() {
		return nil
	}
	if err := mount.Enter(s.staging); err != nil {
		return err
	}
	if written, err := os.ReadDir(s.Root.Filesystem.Option("upperdir")); err != nil || len(written) > 0 {
		return errors.Join(errors.New("the new root has been written to already; nothing is copied over that"), err)
	}
	if s.layer.upper, err = os.Open(s.root.SuperOption("upperdir")); err != nil {
		return fmt.Errorf("open what the container has written: %w", err)
	}
	// Read-only is set on the mount of the new root, not on this copy of it.
	if s.layer.next, err = mount.Clone(unix.AT_FDCWD, s.StageDir, false); err != nil {
		return err
	}
	s.layer.copy = layer.New(layer.Views{Upper: s.layer.upper, Base: s.layer.base, Old: s.layer.old, Next: s.layer.next,
		UserXattr: slices.Contains(s.root.Super, "userxattr")}, s.layer.apart, *s.Layer)
	if err := s.layer.copy.Run(ctx); err != nil {
		return err
	}
	s.layer.open = s.openFiles()
	return s.layer.copy.Run(ctx)
}

// catchUp copies what has changed since, before anyone can change more.
func (s *swap) catchUp(ctx context.Context) error {
	if s.layer.copy == nil {
		return nil
	}
	if err := mount.Enter(s.staging); err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, s.StopLimit,
		fmt.Errorf("the changes of the last moment take more than %s to copy; it is tried again", s.StopLimit))
	defer cancel()
	if err := s.layer.copy.Finish(limited); err != nil {
		return err
	}
	stats := s.layer.copy.Stats()
	stats.Open = s.layer.open
	s.result.Layer = &stats
	return mount.Enter(s.container)
}

// emptyRoot makes the new root as new again, for another try.
func (s *swap) emptyRoot() error {
	if s.layer.copy == nil {
		return nil
	}
	if err := mount.Enter(s.staging); err != nil {
		return err
	}
	if s.tree != nil {
		s.tree.Close()
		s.tree = nil
	}
	s.layer.close()
	if err := mount.Detach(s.StageDir); err != nil {
		return err
	}
	upper := s.Root.Filesystem.Option("upperdir")
	names, err := os.ReadDir(upper)
	if err != nil {
		return fmt.Errorf("empty the new root: %w", err)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, os.RemoveAll(filepath.Join(upper, name.Name())))
	}
	return errors.Join(errs...)
}
