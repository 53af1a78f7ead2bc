package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/atomicfile"
)

const (
	// bookName is the book's file: in the directory of the files, because that
	// outlives a container; readable by the sidecar's user alone, because the
	// main container may serve that directory to the world.
	bookName = reserved + ".json"
	bookMode = 0o600
	maxFiles = 200 // an annotation has room for so many
)

// book is the sidecar's own record. It is written after a process was told; what
// is about to change before that has a note of its own, begun, so that the next
// life knows what to finish.
type book struct {
	root *os.Root

	mu    sync.Mutex
	page  page
	notes map[string]bool // paths with a note of what has begun
}

// page is the book's content.
type page struct {
	Files map[string]entry `json:"files"`
	// Result is the existing sidecar's annotation: the last update's end.
	Result string `json:"result,omitempty"`
	// Ends counts ended updates, Told those of them that the annotations tell.
	Ends uint64 `json:"ends,omitempty"`
	Told uint64 `json:"told,omitempty"`
	// Applied are updates that the ConfigMap does not tell yet, oldest first.
	Applied []applied `json:"applied,omitempty"`
}

// entry is one file.
type entry struct {
	api.ObservedFile
	URL     string `json:"url"`
	Extract bool   `json:"extract,omitempty"`
	// Next is an update that has begun: its content may be in place, its
	// process may have been told.
	Next *next `json:"next,omitempty"`
	// Turn counts the updates that have begun.
	Turn uint64 `json:"turn,omitempty"`
}

type next struct {
	Version string `json:"version"`
	URL     string `json:"url"`
	SHA256  string `json:"sha256"`
	Extract bool   `json:"extract,omitempty"`
}

// target is what should be in place; nil if the book does not know.
func (e entry) target() *next {
	if e.Next == nil && e.SHA256 != "" && e.URL != "" {
		return &next{Version: e.Version, URL: e.URL, SHA256: e.SHA256, Extract: e.Extract}
	}
	return e.Next
}

// applied is one line of the ConfigMap.
type applied struct {
	Version string `json:"version"`
	URL     string `json:"url"`
}

// openBook reads the book. A book that cannot be read is an error, but one with
// what has begun alone is opened all the same: the sidecar must be able to go on.
func openBook(root *os.Root) (*book, error) {
	b := &book{root: root, notes: map[string]bool{}}
	var err error
	if b.page, err = readPage(root); err != nil {
		err = fmt.Errorf("read the record of earlier updates: %w", err)
	}
	notes, bad := readBegun(root)
	for _, n := range notes {
		b.notes[n.Path] = true
		if e := b.page.Files[n.Path]; n.Turn > e.Turn {
			e.Path, e.Turn, e.Next = n.Path, n.Turn, &n.Next
			b.page.Files[n.Path] = e
		}
	}
	sweepBegun(root, b.page)
	return b, errors.Join(err, bad)
}

func readPage(root *os.Root) (page, error) {
	empty := page{Files: map[string]entry{}}
	content, err := root.ReadFile(bookName)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	var p page
	if err == nil {
		err = json.Unmarshal(content, &p)
	}
	if err != nil || p.Files == nil {
		return empty, err
	}
	return p, nil
}

// entry is what the book says of a file.
func (b *book) entry(path string) entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.page.Files[path]
}

// change applies f to the page and writes it down. When writing fails the page
// in memory is as f left it all the same, for the truth to be told.
func (b *book) change(f func(*page) error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := f(&b.page); err != nil {
		return err
	}
	content, err := json.Marshal(b.page)
	if err != nil {
		return err
	}
	out, err := atomicfile.Create(b.root, bookName)
	if err != nil {
		return err
	}
	defer out.Abort()
	if err := out.Chmod(bookMode); err != nil {
		return err
	}
	if _, err := out.Write(content); err != nil {
		return fmt.Errorf("write %s: %w", bookName, err)
	}
	if err := out.Commit(); err != nil {
		return err
	}
	b.forget()
	return nil
}

// forget removes the notes of updates whose end is on the disk.
func (b *book) forget() {
	for path := range b.notes {
		if b.page.Files[path].Next != nil {
			continue
		}
		if err := b.root.Remove(begunName(path)); err == nil || errors.Is(err, fs.ErrNotExist) {
			delete(b.notes, path)
		}
	}
}

// note is change without writing it down: after a crash the book says less, and
// the update is finished again.
func (b *book) note(f func(*page)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.page)
}

// begin writes down what is about to be put in place.
func (b *book) begin(a ask, digest string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.page.begin(a, digest); err != nil {
		return err
	}
	e := b.page.Files[a.path]
	b.notes[a.path] = true
	return begun{Path: a.path, Turn: e.Turn, Next: *e.Next}.write(b.root)
}

// expect notes what should be in place by another record than this, unless
// somebody was faster.
func (b *book) expect(a ask) error {
	return b.change(func(p *page) error {
		if p.Files[a.path].target() != nil {
			return nil
		}
		return p.begin(a, a.sha256)
	})
}

func (p *page) begin(a ask, digest string) error {
	if err := p.room(a.path); err != nil {
		return err
	}
	e := p.Files[a.path]
	e.Path = a.path
	e.Turn++
	e.Next = &next{Version: a.version, URL: a.url, SHA256: digest, Extract: a.extract}
	p.Files[a.path] = e
	return nil
}

// begun are the files of which it is known what should be in place.
func (b *book) begun() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var paths []string
	for path, e := range b.page.Files {
		if e.target() != nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// room makes room for a file; those that never got into place go first.
func (p *page) room(path string) error {
	if _, known := p.Files[path]; known || len(p.Files) < maxFiles {
		return nil
	}
	maps.DeleteFunc(p.Files, func(_ string, e entry) bool { return e.SHA256 == "" && e.Next == nil })
	if len(p.Files) >= maxFiles {
		return fmt.Errorf("there are %d files already, which is the limit", maxFiles)
	}
	return nil
}

// end notes how an update ended.
func (b *book) end(e entry, result string, done *applied) {
	b.note(func(p *page) {
		if p.room(e.Path) == nil {
			e.Turn = p.Files[e.Path].Turn
			p.Files[e.Path] = e
		}
		p.Result = result
		p.Ends++
		if done != nil {
			p.Applied = append(p.Applied, *done)
		}
	})
}

// snapshot is a copy of the page.
func (b *book) snapshot() page {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.page
	p.Files, p.Applied = maps.Clone(p.Files), slices.Clone(p.Applied)
	return p
}

// unstored tells whether the cluster does not know all of the page.
func (p page) unstored() bool { return p.Told != p.Ends || len(p.Applied) > 0 }

// observed are the files of a page by path. One that was never in place, nor
// failed to be, is not yet one.
func (p page) observed() []api.ObservedFile {
	files := []api.ObservedFile{}
	for _, e := range p.Files {
		if e.State != "" {
			files = append(files, e.ObservedFile)
		}
	}
	slices.SortFunc(files, func(a, b api.ObservedFile) int { return strings.Compare(a.Path, b.Path) })
	return files
}
