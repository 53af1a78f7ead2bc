package gitsource

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// unpacking is a pack on its way into a store.
//
// go-git's own parser has each object in memory several times over, and makes room for
// as much as a pack says that one has: a file of 300 MB, which zeros are in 1.4 MB of a
// pack, took 1.9 GB. Here there is one at a time, and none that is too large to be read
// anyway: of those the store knows the size.
type unpacking struct {
	ctx     context.Context
	scanner *packfile.Scanner
	store   *objectStore
	names   map[int64]plumbing.Hash // by where an object begins
	waiting []difference            // whose bases have not come yet
	waits   int64                   // bytes of these
	content bytes.Buffer            // of one object, used again for the next
	delta   bytes.Buffer            // of one difference, likewise
}

// difference is an object told as what it has of another one, its base, and what else.
type difference struct {
	*packfile.ObjectHeader
	delta []byte
}

// unpack has a pack's objects in a store, each by the name that its content has.
func unpack(ctx context.Context, pack io.Reader, store *objectStore) error {
	u := unpacking{ctx: ctx, scanner: packfile.NewScanner(pack), store: store, names: map[int64]plumbing.Hash{}}
	_, objects, err := u.scanner.Header()
	for ; objects > 0 && err == nil; objects-- {
		err = u.next()
	}
	if err == nil {
		_, err = u.scanner.Checksum()
	}
	if err != nil {
		return cutShort(err)
	}
	return u.settle()
}

// next takes one object out of the pack.
func (u *unpacking) next() error {
	head, err := u.scanner.NextObjectHeader()
	if err != nil {
		return err
	}
	switch head.Type {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
		return u.keep(head.Offset, head.Type, head.Length, u.inflate)
	case plumbing.OFSDeltaObject, plumbing.REFDeltaObject:
		return u.differs(head)
	}
	return fmt.Errorf("the pack has an object of kind %d, which there is not", head.Type)
}

// inflate reads the object that is next.
func (u *unpacking) inflate(to io.Writer) error {
	_, _, err := u.scanner.NextObject(to)
	return err
}

// differs takes a difference, and waits with it if its base comes later.
func (u *unpacking) differs(head *packfile.ObjectHeader) error {
	if head.Length > MaxFileSize {
		return fmt.Errorf("the pack has a difference of %d bytes; at most %d are read", head.Length, MaxFileSize)
	}
	u.delta.Reset()
	if err := u.inflate(&u.delta); err != nil {
		return err
	}
	done, err := u.apply(difference{head, u.delta.Bytes()})
	if done || err != nil {
		return err
	}
	if u.waits += head.Length + 128; u.waits > MaxFileSize {
		return fmt.Errorf("the pack has differences of more than %d bytes before what they differ from", MaxFileSize)
	}
	u.waiting = append(u.waiting, difference{head, bytes.Clone(u.delta.Bytes())})
	return nil
}

// settle has all that wait for one another.
func (u *unpacking) settle() error {
	for len(u.waiting) > 0 {
		var still []difference
		for _, d := range u.waiting {
			done, err := u.apply(d)
			if err = cmp.Or(err, context.Cause(u.ctx)); err != nil {
				return err
			}
			if !done {
				still = append(still, d)
			}
		}
		if len(still) == len(u.waiting) {
			return fmt.Errorf("the pack has %d objects as differences from such that are not there: %w", len(still), plumbing.ErrObjectNotFound)
		}
		u.waiting = still
	}
	return nil
}

// apply makes the object of a difference, if its base is there.
func (u *unpacking) apply(d difference) (done bool, err error) {
	name := d.Reference
	if d.Type == plumbing.OFSDeltaObject {
		name = u.names[d.OffsetReference]
	}
	p, found := u.store.find(name)
	if !found {
		return false, nil
	}
	base, err := u.store.content(name, p)
	var large *tooLargeError
	if errors.As(err, &large) {
		return false, fmt.Errorf("an object is sent as a difference from one that is too large: %w; have Git keep such files whole, by -delta in .gitattributes and repack -aFd on the server", err)
	}
	if err != nil {
		return false, err
	}
	size, how, err := readDelta(base, d.delta)
	if err != nil {
		return false, fmt.Errorf("difference from %s %s: %w", p.kind, name, err)
	}
	return true, u.keep(d.Offset, p.kind, size, func(to io.Writer) error { return applyDelta(to, base, how) })
}

// keep has an object in the store whose content is written, or its size alone.
func (u *unpacking) keep(at int64, kind plumbing.ObjectType, size int64, write func(io.Writer) error) error {
	u.content.Reset()
	kept := io.Writer(io.Discard)
	if size <= MaxFileSize {
		u.content.Grow(int(size))
		kept = &u.content
	}
	hasher, left := plumbing.NewHasher(kind, size), &leftToWrite{u.ctx, size}
	if err := write(io.MultiWriter(left, hasher, kept)); err != nil {
		return err
	}
	if left.bytes != 0 {
		return errOtherSize
	}
	u.names[at] = hasher.Sum()
	return u.store.keep(u.names[at], place{content: u.content.Bytes(), size: size, kind: kind})
}

var errOtherSize = errors.New("the pack has an object of another size than it says")

// leftToWrite is how much of an object is to come yet, until its context ends: a few
// bytes of a pack may be very many of an object.
type leftToWrite struct {
	ctx   context.Context
	bytes int64
}

func (l *leftToWrite) Write(p []byte) (int, error) {
	if l.bytes -= int64(len(p)); l.bytes < 0 {
		return 0, errOtherSize
	}
	return len(p), context.Cause(l.ctx)
}
