package gitsource

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// stored is an object that is put into a store as it is.
func stored(t *testing.T, store *objectStore, kind plumbing.ObjectType, content []byte) plumbing.Hash {
	t.Helper()
	name := plumbing.ComputeHash(kind, content)
	if err := store.keep(name, place{content: content, size: int64(len(content)), kind: kind}); err != nil {
		t.Fatal(err)
	}
	return name
}

// naming is a tree that names one and the same thing so many times.
func naming(times int, mode, name string, what plumbing.Hash) []byte {
	var tree bytes.Buffer
	for i := range times {
		fmt.Fprintf(&tree, "%s %s%05d\x00%s", mode, name, i, what[:])
	}
	return tree.Bytes()
}

// Few trees may lead to more paths than there is time or memory for: they are refused
// in words, soon, and cost no more than a large repository.
func TestTreesThatNeverEnd(t *testing.T) {
	long := strings.Repeat("n", 1900)
	for what, c := range map[string]struct {
		times, levels int
		name          string
		leaf          string // of what the last tree names as often; "" names nothing
		want          string
	}{
		"no files":     {10, 12, "d", "", "more than 200000 directories below ."},
		"files":        {10, 12, "d", "100644", "more than 200000 files below ."},
		"links":        {600, 1, "d", "120000", "more than 200000 files below ."},
		"long names":   {300, 1, long, "100644", "more than 64 MB together"},
		"a long path":  {1, 3, long, "", "a path of more than 4096 bytes: nnn"},
		"a deep path":  {1, 200_000, "d", "", "a path of more than 4096 bytes: d00000/d"},
		"just as deep": {1, 584, "d", "100644", ""},
	} {
		store := newObjectStore(nil)
		blob := stored(t, store, plumbing.BlobObject, []byte("content"))
		tree := stored(t, store, plumbing.TreeObject, nil)
		if c.leaf != "" {
			tree = stored(t, store, plumbing.TreeObject, naming(c.times, c.leaf, c.name, blob))
		}
		for range c.levels {
			tree = stored(t, store, plumbing.TreeObject, naming(c.times, "40000", c.name, tree))
		}
		g := &grower{store: store}
		commit, err := g.save(&object.Commit{TreeHash: tree})
		if err != nil {
			t.Fatal(err)
		}
		if err := gather(store, commit, newObjectStore(nil)); err != nil {
			t.Errorf("%s: gathered: %v", what, err)
		}
		snapshot, err := newSnapshot(store, commit)
		if err != nil {
			t.Fatal(err)
		}
		var files []File
		if mb := allocated(func() { files, err = snapshot.Files(".") }); mb > 300 {
			t.Errorf("%s: %d MB of memory", what, mb)
		}
		if c.want == "" {
			if err != nil || len(files) != 1 {
				t.Errorf("%s: %d files, %v", what, len(files), err)
			}
			continue
		}
		if err == nil || files != nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
			t.Errorf("%s: %d files, %v", what, len(files), err)
		}
	}
}
