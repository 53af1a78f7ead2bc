package gitsource

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Limits of what is read.
const (
	MaxFileSize = 64 << 20
	MaxFiles    = 200_000 // and as many directories
	maxPath     = 4096    // bytes, as Git and Linux have it
	maxPaths    = 64 << 20
	maxTags     = 5 // of tags, before it is a commit
)

// Kind of a tree's entry.
type Kind int

// The kinds.
const (
	Regular Kind = iota
	Symlink
	Submodule
)

// File is an entry of a commit's tree.
type File struct {
	Path string // from the repository's root
	Size int64  // of a Regular one, in bytes
	Kind Kind
	ID   string // of a Regular one's content
}

// Snapshot is one commit, which never changes. It may be read from many
// goroutines.
type Snapshot struct {
	Commit, Subject, Author string
	Time                    time.Time // its author's: those of committers only grow

	store *objectStore
	tree  *object.Tree
	tip   plumbing.Hash // the commit, or the tag that it was come to by
}

// newSnapshot is a commit, or the one that a tag is of.
func newSnapshot(store *objectStore, tip plumbing.Hash) (*Snapshot, error) {
	hash := tip
	for range maxTags {
		tag, err := object.GetTag(store, hash)
		if err != nil {
			break
		}
		hash = tag.Target
	}
	commit, err := object.GetCommit(store, hash)
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", hash, err)
	}
	tree, err := commit.Tree()
	if err != nil {
		return nil, fmt.Errorf("read the tree of commit %s: %w", hash, err)
	}
	s := &Snapshot{Commit: hash.String(), store: store, tree: tree, tip: tip}
	s.Subject, s.Author, s.Time = describe(commit)
	return s, nil
}

// Damaged tells that something of it could not be read as it was written to the disk:
// what else was read is right, but not all was there. The Source fetches it anew.
func (s *Snapshot) Damaged() bool { return s.store.doubtful() }

// Read is a regular file's content; fs.ErrNotExist if there is none.
func (s *Snapshot) Read(name string) ([]byte, error) {
	entry, err := s.entry(path.Clean(name))
	if err != nil {
		return nil, err
	}
	if entry.Mode != filemode.Regular && entry.Mode != filemode.Executable && entry.Mode != filemode.Deprecated {
		return nil, fmt.Errorf("%s is not a regular file in commit %s", name, s.Commit)
	}
	size, err := s.store.EncodedObjectSize(entry.Hash)
	if err == nil && size > MaxFileSize {
		return nil, &tooLargeError{name, size}
	}
	blob, err := object.GetBlob(s.store, entry.Hash)
	if err != nil {
		return nil, fmt.Errorf("read %s of commit %s: %w", name, s.Commit, err)
	}
	r, err := blob.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := make([]byte, blob.Size)
	_, err = io.ReadFull(r, content)
	return content, err
}

// entry finds a path, opening one tree after the other. go-git's own look-up
// cannot tell a missing tree from a missing entry.
func (s *Snapshot) entry(name string) (*object.TreeEntry, error) {
	dir, base := path.Split(name)
	tree, err := s.dir(path.Clean(dir))
	if err != nil {
		return nil, err
	}
	for i := range tree.Entries {
		if tree.Entries[i].Name == base {
			return &tree.Entries[i], nil
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (s *Snapshot) dir(name string) (*object.Tree, error) {
	if name == "." || name == "/" || name == "" {
		return s.tree, nil
	}
	entry, err := s.entry(name)
	if err != nil {
		return nil, err
	}
	if entry.Mode != filemode.Dir {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	tree, err := object.GetTree(s.store, entry.Hash)
	if err != nil {
		return nil, fmt.Errorf("read directory %s of commit %s: %w", name, s.Commit, err)
	}
	return tree, nil
}

// Files lists everything below a directory, sorted by path. A missing directory
// is fs.ErrNotExist, a missing object any other error: never a shorter list.
func (s *Snapshot) Files(dir string) ([]File, error) {
	dir = path.Clean(dir)
	tree, err := s.dir(dir)
	if err != nil {
		return nil, err
	}
	l := listing{Snapshot: s, top: dir}
	if err := l.collect(tree, dir); err != nil {
		return nil, err
	}
	return l.files, nil
}

// listing is what is below a directory. A few trees that name one another many times
// are more directories than there is time to look at: all are counted.
type listing struct {
	*Snapshot
	top         string
	files       []File
	directories int
	paths       int // bytes
}

func (l *listing) collect(tree *object.Tree, dir string) error {
	for _, e := range tree.Entries {
		if strange(e.Name) {
			return fmt.Errorf("directory %s of commit %s has an entry %q, which no file can be called", dir, l.Commit, e.Name)
		}
		name := path.Join(dir, e.Name)
		if err := l.count(e, name); err != nil {
			return err
		}
		switch e.Mode {
		case filemode.Dir:
			below, err := object.GetTree(l.store, e.Hash)
			if err != nil {
				return fmt.Errorf("read directory %s of commit %s: %w", name, l.Commit, err)
			}
			if err := l.collect(below, name); err != nil {
				return err
			}
		case filemode.Symlink:
			l.files = append(l.files, File{Path: name, Kind: Symlink})
		case filemode.Submodule:
			l.files = append(l.files, File{Path: name, Kind: Submodule})
		default:
			size, err := l.store.EncodedObjectSize(e.Hash)
			if err != nil {
				return fmt.Errorf("look at %s of commit %s: %w", name, l.Commit, err)
			}
			l.files = append(l.files, File{Path: name, Size: size, ID: e.Hash.String()})
		}
	}
	return nil
}

// count refuses what is too much.
func (l *listing) count(e object.TreeEntry, name string) error {
	if len(name) > maxPath {
		return fmt.Errorf("commit %s has a path of more than %d bytes: %.100s…", l.Commit, maxPath, name)
	}
	if l.paths += len(name); l.paths > maxPaths {
		return fmt.Errorf("the paths below %s of commit %s have more than %d MB together", l.top, l.Commit, maxPaths>>20)
	}
	if e.Mode == filemode.Dir {
		l.directories++
	}
	if l.directories > MaxFiles {
		return fmt.Errorf("more than %d directories below %s of commit %s", MaxFiles, l.top, l.Commit)
	}
	if e.Mode != filemode.Dir && len(l.files) >= MaxFiles {
		return fmt.Errorf("more than %d files below %s of commit %s", MaxFiles, l.top, l.Commit)
	}
	return nil
}

// strange is what git itself never writes, but a server may send: a name that leads
// elsewhere.
func strange(name string) bool {
	return name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00")
}
