package gitsource

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// Git itself reads what was packed, strictly, and has the same objects then: of every
// size around those where their heads and zlib's blocks grow by one.
func TestGitReadsWhatIsPacked(t *testing.T) {
	b, err := newBase(newObjectStore(nil))
	if err != nil {
		t.Fatal(err)
	}
	g := &grower{store: b.store}
	files := map[string][]byte{}
	for _, size := range []int{0, 1, 15, 16, 17, 127, 128, 2047, 2048, 65535, 65536, 262143, 262144, 300_000} {
		files[fmt.Sprintf("a/%d/zeros", size)] = make([]byte, size)
		files[fmt.Sprintf("b/%d/text", size)] = []byte(strings.Repeat("phase: Complete\n", size/16+1)[:size])
	}
	if _, err := g.root(b.tree, files); err != nil {
		t.Fatal(err)
	}
	pack, err := packed(b.store, g.made)
	if err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(t.TempDir(), "bare")
	if out, err := exec.Command("git", "init", "-q", "--bare", bare).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	index := exec.Command("git", "-C", bare, "index-pack", "--strict", "--stdin")
	index.Stdin = pack
	if out, err := index.CombinedOutput(); err != nil {
		t.Fatalf("git refuses the pack: %v: %s", err, out)
	}
	for _, name := range g.made {
		o, err := b.store.EncodedObject(plumbing.AnyObject, name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := readRaw(b.store, o.Type(), name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command("git", "-C", bare, "cat-file", o.Type().String(), name.String()).Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s %s of %d bytes: git has %d bytes, %v", o.Type(), name, len(want), len(got), err)
		}
	}
}

func TestAMissingObjectIsNotPacked(t *testing.T) {
	b, err := newBase(newObjectStore(nil))
	if err != nil {
		t.Fatal(err)
	}
	gone := plumbing.NewHash(strings.Repeat("ab", 20))
	if _, err := packed(b.store, []plumbing.Hash{b.tree, gone}); err == nil || !strings.Contains(err.Error(), gone.String()) {
		t.Errorf("got %v", err)
	}
}

// Servers that look closely (receive.fsckObjects) refuse a pack that has an object
// twice, as files and directories of the same content are.
func TestAStrictServerTakesFilesOfTheSameContent(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Git("-C", repo.Bare, "config", "receive.fsckObjects", "true")
	repo.Git("-C", repo.Bare, "config", "receive.unpackLimit", "1") // as a pack, however small
	w := writer(t, repo.URL, "hotpatch-status")
	same := map[string][]byte{}
	for _, name := range []string{"clusters/a/default/game.yaml", "clusters/b/default/game.yaml", "clusters/b/default/other.yaml"} {
		same[name] = []byte("1\n")
	}
	if _, err := w.Commit(t.Context(), Change{Files: same, Subject: "the same"}); err != nil {
		t.Fatal(err)
	}
	for name := range same {
		if got := repo.Show("hotpatch-status", name); got != "1\n" {
			t.Errorf("%s is %q", name, got)
		}
	}
	gone := Change{Files: map[string][]byte{}, Subject: "gone"}
	for name := range same {
		gone.Files[name] = nil
	}
	if _, err := w.Commit(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if left := repo.Git("-C", repo.Bare, "ls-tree", "-r", "-t", "hotpatch-status"); left != "" {
		t.Errorf("left behind: %s", left)
	}
	repo.Git("-C", repo.Bare, "fsck", "--strict")
}
