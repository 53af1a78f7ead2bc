package layer

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// takeBack undoes what earlier passes did about paths that the container has
// none of its own at any more, the innermost first.
func (c *Copy) takeBack() error {
	stale := map[string]*record{}
	for name, r := range c.done {
		if r.pass != c.number {
			stale[name] = r
		}
	}
	for _, name := range reversed(stale) {
		if err := c.takeBackOne(name, stale[name]); err != nil {
			return fmt.Errorf("take /%s back: %w", name, err)
		}
		delete(c.done, name)
	}
	return nil
}

func reversed[V any](of map[string]V) []string {
	names := slices.Sorted(maps.Keys(of))
	slices.Reverse(names)
	return names
}

func (c *Copy) takeBackOne(name string, r *record) error {
	switch {
	case r.displaced:
		return ErrMoved
	case r.did == nothing || r.did == removed:
		return nil
	}
	dir, err := inside(c.views.Next, parentOf(name), unix.O_DIRECTORY)
	if err != nil {
		return ifLacking(err)
	}
	defer dir.Close()
	if r.image != nil {
		next, err := inside(dir, path.Base(name), unix.O_NOFOLLOW)
		if err != nil {
			return ifLacking(err)
		}
		defer next.Close()
		return r.image.set(next)
	}
	is, err := lstat(dir, path.Base(name))
	if err != nil || kind(is) == 0 {
		return err
	}
	c.touched[parentOf(name)] = true
	flags := 0
	if isDir(is) {
		flags = unix.AT_REMOVEDIR
	}
	return unix.Unlinkat(int(dir.Fd()), path.Base(name), flags)
}

// settle removes directories that nothing came into after all, and gives those
// of the container their times, which everything that is put into them changes.
func (c *Copy) settle() error {
	for _, name := range reversed(c.implied) {
		if err := c.removeEmpty(name); err != nil {
			return fmt.Errorf("remove the empty /%s: %w", name, err)
		}
	}
	for _, name := range reversed(c.touched) {
		if r := c.done[name]; c.implied[name] || r != nil && r.did == put {
			if err := c.setTimes(name); err != nil {
				return fmt.Errorf("set the times of /%s: %w", name, err)
			}
		}
	}
	return nil
}

func (c *Copy) removeEmpty(name string) error {
	dir, err := inside(c.views.Next, parentOf(name), unix.O_DIRECTORY)
	if err != nil {
		return ifLacking(err)
	}
	defer dir.Close()
	err = unix.Unlinkat(int(dir.Fd()), path.Base(name), unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil {
		delete(c.implied, name)
		c.touched[parentOf(name)] = true
	}
	return ifLacking(err)
}

func (c *Copy) setTimes(name string) error {
	old, _, err := hold(c.views.Old, name)
	if err != nil {
		return ifGone(err)
	}
	defer old.Close()
	next, err := inside(c.views.Next, name, unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return ifLacking(err)
	}
	defer next.Close()
	return copyTimes(old, next)
}
