package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
)

// objectStore has objects by their names, for go-git to read and to add to. What one
// goroutine has handed on is only read from then on.
type objectStore struct {
	memory.ReferenceStorage
	places map[plumbing.Hash]place
	below  *objectStore // has what is not here; may be nil
	shelf  *shelf       // for what has no room in memory; nil: all has
	room   int64        // bytes of content that memory has room for yet
}

// place is where an object is.
type place struct {
	content []byte // unless it is on a shelf, or too large to be read at all
	shelf   *shelf
	at      int64 // on the shelf
	size    int64
	kind    plumbing.ObjectType
}

// newObjectStore is an empty one.
func newObjectStore(s *shelf) *objectStore {
	room := int64(math.MaxInt64)
	if s != nil {
		room = s.beside
	}
	return &objectStore{ReferenceStorage: memory.ReferenceStorage{}, places: map[plumbing.Hash]place{}, shelf: s, room: room}
}

// above is one for what is new over this one, which is only read: snapshots of it may
// be in use.
func (s *objectStore) above() *objectStore {
	news := newObjectStore(s.shelf)
	news.below, news.room = s, s.room
	return news
}

func (s *objectStore) find(name plumbing.Hash) (place, bool) {
	p, ok := s.places[name]
	if !ok && s.below != nil {
		return s.below.find(name)
	}
	return p, ok
}

// take has another one's object here as well.
func (s *objectStore) take(name plumbing.Hash, p place) {
	s.places[name] = p
	s.room -= int64(len(p.content))
}

func (s *objectStore) NewEncodedObject() plumbing.EncodedObject { return &plumbing.MemoryObject{} }

func (s *objectStore) SetEncodedObject(o plumbing.EncodedObject) (plumbing.Hash, error) {
	name := o.Hash()
	content, err := contentOf(o)
	if err != nil {
		return name, err
	}
	return name, s.keep(name, place{content: content, size: int64(len(content)), kind: o.Type()})
}

// keep has an object here, in a copy. Without content it is known how large it is.
func (s *objectStore) keep(name plumbing.Hash, p place) (err error) {
	if s.HasEncodedObject(name) == nil {
		return nil
	}
	if int64(len(p.content)) > s.room {
		if p, err = s.shelf.put(p); err != nil {
			return err
		}
	}
	p.content = bytes.Clone(p.content)
	s.take(name, p)
	return nil
}

func contentOf(o plumbing.EncodedObject) ([]byte, error) {
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := make([]byte, o.Size())
	_, err = io.ReadFull(r, content)
	return content, err
}

func (s *objectStore) EncodedObject(kind plumbing.ObjectType, name plumbing.Hash) (plumbing.EncodedObject, error) {
	p, ok := s.find(name)
	if !ok || kind != plumbing.AnyObject && kind != p.kind {
		return nil, plumbing.ErrObjectNotFound
	}
	content, err := s.content(name, p)
	if err != nil {
		return nil, err
	}
	o := &storedObject{name: name, content: content}
	o.SetType(p.kind)
	o.SetSize(p.size)
	return o, nil
}

// content is an object's, which is not to be changed.
func (s *objectStore) content(name plumbing.Hash, p place) ([]byte, error) {
	if p.shelf == nil {
		if int64(len(p.content)) < p.size {
			return nil, &tooLargeError{fmt.Sprintf("%s %s", p.kind, name), p.size}
		}
		return p.content, nil
	}
	content, err := p.shelf.read(name, p)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", p.kind, name, err)
	}
	return content, nil
}

// tooLargeError says that something has more than is read of one.
type tooLargeError struct {
	what string
	size int64
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("%s has %d bytes; at most %d are read", e.what, e.size, MaxFileSize)
}

func (s *objectStore) HasEncodedObject(name plumbing.Hash) error {
	if _, ok := s.find(name); !ok {
		return plumbing.ErrObjectNotFound
	}
	return nil
}

func (s *objectStore) EncodedObjectSize(name plumbing.Hash) (int64, error) {
	p, ok := s.find(name)
	if !ok {
		return 0, plumbing.ErrObjectNotFound
	}
	return p.size, nil
}

var errNoSuchUse = errors.New("objects are not used so here")

// IterEncodedObjects is there for go-git's interface alone, as is AddAlternate.
func (s *objectStore) IterEncodedObjects(plumbing.ObjectType) (storer.EncodedObjectIter, error) {
	return nil, errNoSuchUse
}

func (s *objectStore) AddAlternate(string) error { return errNoSuchUse }

// storedObject is one as it is read, whose name need not be computed again.
type storedObject struct {
	plumbing.MemoryObject
	name    plumbing.Hash
	content []byte
}

func (o *storedObject) Hash() plumbing.Hash { return o.name }

func (o *storedObject) Reader() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(o.content)), nil
}
