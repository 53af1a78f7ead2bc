package swap

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// A container that may mount can have something of its own where new trees are
// parked, and symlinks on the way there. Nothing here follows one.

var errCovered = fmt.Errorf("the container has mounted something on %s, where its new root waits", park)

// parkTree makes the finished tree visible to the container, where nobody
// looks, so that it can become the root in one call.
func (s *swap) parkTree() error {
	if err := mount.Enter(s.container); err != nil {
		return err
	}
	place, err := open(unix.AT_FDCWD, park, unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return fmt.Errorf("open %s in the container, where its new root waits: %w", park, err)
	}
	defer place.Close()
	return mount.AttachTo(s.tree, place)
}

// isOnTop makes sure that what would become the root is ours. Nobody of the
// container runs any more.
func (s *swap) isOnTop() error {
	ours, _, err := mount.ID(int(s.tree.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	place, err := open(unix.AT_FDCWD, park, unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return errors.Join(errCovered, err)
	}
	defer place.Close()
	if top, _, err := mount.ID(int(place.Fd()), "", unix.AT_EMPTY_PATH); err != nil || top != ours {
		return errors.Join(errCovered, err)
	}
	old, err := open(int(s.tree.Fd()), park[1:], unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return fmt.Errorf("open %s on the new root, where the old one is to go: %w", park, err)
	}
	return old.Close()
}

// unpark takes our tree away, also where the container has covered it.
func (s *swap) unpark() error {
	if err := mount.Enter(s.container); err != nil {
		return err
	}
	if s.tree != nil {
		if err := mount.Start(s.tree); err != nil {
			return err
		}
		if err := mount.Detach("."); err != nil && !errors.Is(err, unix.EINVAL) { // it was not parked
			return err
		}
	}
	return s.clear()
}

// isOnRoot makes sure that a pivot moves the container's first process: it may
// have gone elsewhere since it was looked at. This thread is on the root.
func (s *swap) isOnRoot() error {
	namespace, err := mount.PlaceOf(int(s.proc.Fd()), fmt.Sprintf("%d/ns/mnt", s.PID))
	ours, err2 := mount.PlaceOf(int(s.proc.Fd()), fmt.Sprintf("self/fd/%d", s.container.Fd()))
	if err := errors.Join(err, err2); err != nil || namespace.File != ours.File {
		return errors.Join(fmt.Errorf("the container's first process has left its mounts"), err)
	}
	is, err := mount.PlaceOf(int(s.proc.Fd()), fmt.Sprintf("%d/root", s.PID))
	root, err2 := mount.PlaceOf(unix.AT_FDCWD, "/")
	if err := errors.Join(err, err2); err != nil || is != root || root.Mount != s.root.ID {
		return errors.Join(fmt.Errorf("the container's first process is chrooted: its root is not its namespace's"), err)
	}
	return nil
}

// clearLeftovers takes away what a killed swap has left parked. This thread is
// on the container's root.
func (s *swap) clearLeftovers() error {
	dir, name := path.Split(park)
	proc, err := open(unix.AT_FDCWD, dir, unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return fmt.Errorf("open %s in the container: %w", dir, err)
	}
	defer proc.Close()
	if err := mount.Start(proc); err != nil {
		return err
	}
	defer unix.Chdir("/") // what is looked up later begins there
	bare, _, err := mount.ID(int(proc.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	for range 16 {
		id, _, err := mount.ID(int(proc.Fd()), name, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case err != nil:
			return fmt.Errorf("look at %s in the container: %w", park, err)
		case id == bare:
			return nil
		}
		if err := mount.Detach(name); err != nil && !errors.Is(err, unix.EINVAL) { // it is off already
			return err
		}
	}
	return fmt.Errorf("%s is covered by more mounts than swaps could leave", park)
}
