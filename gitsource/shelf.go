package gitsource

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/sirupsen/logrus"

	"hotpatch.dev/hotpatch/internal/logging"
)

const (
	// MaxShelf is how many bytes of a branch are put into a file.
	MaxShelf = 1 << 30
	// roomInMemory is how many are in memory all the same: all of most repositories,
	// and in any case what a server sends first, commits and trees.
	roomInMemory = 8 << 20
)

// shelf is a file for content that memory has no room for. It has no name: its space
// is free again once no commit that uses it is remembered, and when the program has
// ended, in whatever way. So nothing is ever found in it that an earlier process left,
// half or whole.
//
// One goroutine at a time puts; any read.
type shelf struct {
	dir    string
	log    *logrus.Entry
	beside int64 // how much memory there is for what need not be put here
	file   *os.File
	end    int64
	full   bool        // nothing more is put here, but into memory
	doubt  atomic.Bool // something could not be read as it was put
}

// newObjectStore is one with a shelf, if there is a directory for that.
func (r *remote) newObjectStore(ctx context.Context) *objectStore {
	if r.CacheDir == "" {
		return newObjectStore(nil)
	}
	return newObjectStore(&shelf{dir: r.CacheDir, log: logging.From(ctx), beside: r.room})
}

// put has a place's content here, or leaves it in memory if the disk does not take it.
func (s *shelf) put(p place) (place, error) {
	if s.end+p.size > MaxShelf {
		return p, fmt.Errorf("the branch has more than the %d MB that are kept in files; without --git-cache-dir memory has all", MaxShelf>>20)
	}
	if s.full {
		return p, nil
	}
	if err := s.write(p.content); err != nil {
		s.full = true
		s.log.WithError(err).Warnf("what is fetched from Git goes into memory, since %s does not take it: see that it is there, can be written, and has space", s.dir)
		return p, nil
	}
	p.content, p.shelf, p.at = nil, s, s.end
	s.end += p.size
	return p, nil
}

func (s *shelf) write(content []byte) error {
	if s.file == nil {
		file, err := os.CreateTemp(s.dir, "git-*")
		if err != nil {
			return err
		}
		if err := os.Remove(file.Name()); err != nil {
			file.Close()
			return err
		}
		s.file = file // closed when nothing refers to it any longer
	}
	_, err := s.file.WriteAt(content, s.end)
	return err
}

// read is an object's content, which is that which was put there or an error; the
// shelf is doubted from then on.
func (s *shelf) read(name plumbing.Hash, p place) ([]byte, error) {
	content := make([]byte, p.size)
	_, err := s.file.ReadAt(content, p.at)
	if err == nil && plumbing.ComputeHash(p.kind, content) != name {
		err = fmt.Errorf("a file in %s has changed under the program that made it", s.dir)
	}
	if err != nil {
		s.doubt.Store(true)
	}
	return content, err
}

// doubtful tells whether something could not be read as it was put.
func (s *objectStore) doubtful() bool {
	return s != nil && s.shelf != nil && s.shelf.doubt.Load()
}

// worn tells whether most of the shelf is of commits that are gone.
func (s *objectStore) worn() bool {
	if s.shelf == nil {
		return false
	}
	used := int64(0)
	for _, p := range s.places {
		if p.shelf != nil {
			used += p.size
		}
	}
	return s.shelf.end > 2*used+8*roomInMemory
}
