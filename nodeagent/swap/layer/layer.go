// Package layer copies what a container has written, its writable overlay
// layer, onto a new root that is made of another image.
//
// What the container did is done again, path by path, measured against the
// image that it was done to:
//
//   - What it made, changed or deleted is so on the new root too, whatever the
//     new image has there. A directory that it removed and made anew is wholly
//     its own.
//   - A file whose content is still that of the old image is the new image's,
//     also when that has none; changes of owner, mode or extended attributes
//     are made to it. Without this a "chown -R" at a container's start would
//     turn every new image back into the old one.
//   - Where one has a directory and the other has not, and that was not the
//     container's doing, the copy is refused.
//
// Sockets stay behind, for nobody would listen on a copy, and so do the owner
// and mode of the root directory itself.
//
// A copy is done in passes: Run, while the container goes on writing, then
// Finish, when it does not, which only looks at what changed since. After an
// error the new root is of no use. The container is not trusted: whatever it
// does meanwhile, only files below the given directories are read, and only
// those below the new root are written.
package layer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrTooLarge says that the layer is past its limit.
var ErrTooLarge = errors.New("the container has written more than is taken along")

// ErrMoved says that a change cannot be followed: the container took back what
// had displaced something of the new image. Another try will do.
var ErrMoved = errors.New("the container changed it while it was being copied")

// errGone says that something is not there any more, or is something else now.
// The next pass sees what it has become.
var errGone = errors.New("it is gone")

// Views are the directories that a copy works with. Only Next is written.
type Views struct {
	Upper *os.File // what the container wrote, as overlayfs keeps it
	Base  *os.File // the old root without that: the old image
	Old   *os.File // the old root as the container has it, nothing mounted on it
	Next  *os.File // the new root, likewise, which nobody else sees yet
	// UserXattr: the overlay keeps its marks in user.* instead of trusted.*.
	UserXattr bool
}

// Limit is how much a layer may hold.
type Limit struct {
	Bytes   int64
	Entries int
}

// Stats tells what was found and done.
type Stats struct {
	Entries int   // paths that the container made, changed or deleted
	Bytes   int64 // written in all passes
	Sockets int   // left behind
	// Open are files that the container goes on writing to on the old root; who
	// looks at processes fills it in.
	Open []string
}

// String follows on the line that tells of a swap; nothing, where there was
// nothing to copy.
func (s *Stats) String() string {
	if s == nil {
		return ""
	}
	text := fmt.Sprintf(", %s with %s copied", entries(s.Entries), size(s.Bytes))
	if s.Sockets > 0 {
		text += fmt.Sprintf(", %d sockets left behind", s.Sockets)
	}
	if n := len(s.Open); n > 0 {
		text += "; open, and written to on the old root until opened anew: " + strings.Join(s.Open[:min(n, 5)], ", ")
		if n > 5 {
			text += fmt.Sprintf(" and %d more", n-5)
		}
	}
	return text
}

// Copy is one copy with what it has done so far.
type Copy struct {
	views   Views
	exclude map[string]bool // paths that are not looked at, nor what is below
	limit   Limit
	done    map[string]*record
	// implied are directories that the new image lacks, made for what is in them.
	implied map[string]bool
	stats   Stats
	*pass
}

// pass is the state of one pass.
type pass struct {
	number            int
	final             bool
	began             unix.Timespec     // by the clock that files are stamped with
	written, compared int64             // bytes
	linked            map[uint64]string // what an inode was copied as
	touched           map[string]bool   // directories that something was changed in
}

// record is what was done about one path.
type record struct {
	did   deed
	stamp stamp
	// racy: it could have changed after it was read without being stamped anew.
	racy bool
	pass int // that saw it last
	// there is what kind of thing the new image has at the path, if looked at;
	// leads: a symlink to a directory.
	there         uint32
	looked, leads bool
	// displaced: something of the new image had to go.
	displaced bool
	// inode of the container's directory that was put here.
	inode uint64
	// image is how the new image's own thing was before its owner or mode were
	// changed; nil where they were not.
	image *meta
}

type deed int

const (
	nothing deed = iota
	put
	adjusted
	removed
)

// ours tells whether the thing on the new root is wholly of our making.
func (r *record) ours() bool { return r.did == put && r.image == nil }

// New prepares a copy. Excluded are paths such as mountpoints, and what is below
// them.
func New(v Views, exclude []string, limit Limit) *Copy {
	c := &Copy{views: v, limit: limit, exclude: map[string]bool{}, done: map[string]*record{}, implied: map[string]bool{}, pass: &pass{}}
	for _, path := range exclude {
		c.exclude[strings.Trim(path, "/")] = true
	}
	return c
}

// Run is a pass while the container goes on: what vanishes under our hands is
// left to a later one.
func (c *Copy) Run(ctx context.Context) error { return c.run(ctx, false) }

// Finish is the last pass. The container must not write meanwhile.
func (c *Copy) Finish(ctx context.Context) error { return c.run(ctx, true) }

// Stats tells what was done until now.
func (c *Copy) Stats() Stats { return c.stats }

func (c *Copy) run(ctx context.Context, final bool) error {
	c.pass = &pass{number: c.number + 1, final: final, linked: map[uint64]string{}, touched: map[string]bool{}}
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &c.began); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	found, err := c.scan(ctx)
	if err != nil {
		return err
	}
	for _, it := range found.items {
		if err := c.redo(ctx, it); err != nil {
			return fmt.Errorf("carry /%s: %w", it.path, err)
		}
	}
	if err := errors.Join(c.takeBack(), c.settle()); err != nil {
		return err
	}
	c.stats = Stats{Bytes: c.stats.Bytes + c.written, Sockets: found.sockets}
	for _, r := range c.done {
		if r.did != nothing {
			c.stats.Entries++
		}
	}
	return nil
}

// redo does again what the container did at one path, if that was not yet done.
func (c *Copy) redo(ctx context.Context, it item) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r := c.done[it.path]
	if r != nil && r.stamp == it.stamp && !r.racy {
		r.pass = c.number
		return nil
	}
	if r == nil {
		r = &record{}
	}
	r.pass, r.stamp, r.racy = c.number, it.stamp, !it.stamp.changed.before(c.began)
	c.done[it.path] = r
	err := c.doAgain(ctx, it, r)
	if errors.Is(err, errGone) {
		if c.final {
			return fmt.Errorf("%w: %w", ErrMoved, err)
		}
		r.racy = true
		return nil
	}
	return err
}

func (c *Copy) doAgain(ctx context.Context, it item, r *record) error {
	switch {
	case it.whiteout:
		return c.remove(it, r)
	case it.isDir():
		return c.directory(it, r)
	default:
		return c.leaf(ctx, it, r)
	}
}

// spend keeps what is written in one pass below the limit: files grow while
// they are copied, and a change of owner copies a file of the new image up.
func (c *Copy) spend(bytes int64) error {
	if c.written += bytes; c.written > c.limit.Bytes {
		return c.tooLarge(fmt.Sprintf("more than %s", size(c.limit.Bytes)))
	}
	return nil
}

func (c *Copy) tooLarge(found string) error {
	return fmt.Errorf("%w: %s, where the limit is %s in %s; name the paths that matter, or raise the agent's limit",
		ErrTooLarge, found, size(c.limit.Bytes), entries(c.limit.Entries))
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// size is a number of bytes for people.
func size(bytes int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + units[unit]
}
