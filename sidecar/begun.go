package sidecar

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

const (
	// begunPrefix names the notes of updates that have begun.
	begunPrefix = reserved + "-begun-"
	maxBegun    = 512 << 10 // bytes of one: a URL as long as a call may be, escaped
)

// begun is an update that has begun, noted in a small file of its own, so that
// the disk need not be waited for: that took an update of 1 KB as long again as all
// the rest. A killed sidecar leaves it whole all the same. A loss of power may damage
// it, but no more than it; then the version before is put back, as nobody was answered
// yet that it is gone.
type begun struct {
	Path string `json:"path"`
	// Turn is the entry's: a note that is no newer than the entry is over.
	Turn uint64 `json:"turn"`
	Next next   `json:"next"`
}

// begunName is of a hash, because a path may be longer than a name may.
func begunName(path string) string {
	h := sha256.Sum256([]byte(path))
	return begunPrefix + hex.EncodeToString(h[:16]) + ".json"
}

// write writes the note down, as a new file: no link is followed that stands in
// its place.
func (n begun) write(root *os.Root) error {
	content, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := newFile(root, begunName(n.Path))
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// newFile makes a file in the place of an earlier one, if there is one.
func newFile(root *os.Root, name string) (*os.File, error) {
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	f, err := root.OpenFile(name, flags, bookMode)
	if errors.Is(err, fs.ErrExist) {
		if err := root.Remove(name); err != nil {
			return nil, err
		}
		return root.OpenFile(name, flags, bookMode)
	}
	return f, err
}

// readBegun reads all notes; a damaged one is passed over.
func readBegun(root *os.Root) (notes []begun, err error) {
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), begunPrefix) || !e.Type().IsRegular() {
			continue
		}
		if n, ok := readNote(root, e.Name()); ok {
			notes = append(notes, n)
		}
	}
	return notes, err
}

func readNote(root *os.Root, name string) (n begun, ok bool) {
	f, err := root.Open(name)
	if err != nil {
		return n, false
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxBegun))
	ok = err == nil && json.Unmarshal(content, &n) == nil && begunName(n.Path) == name && checkPath(n.Path) == nil
	return n, ok
}

// sweepBegun removes the notes of updates that the page does not have under way.
func sweepBegun(root *os.Root, p page) {
	entries, _ := fs.ReadDir(root.FS(), ".")
	wanted := map[string]bool{}
	for path, e := range p.Files {
		wanted[begunName(path)] = e.Next != nil
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), begunPrefix) && !wanted[e.Name()] {
			root.Remove(e.Name())
		}
	}
}
