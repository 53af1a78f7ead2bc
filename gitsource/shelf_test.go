package gitsource

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/internal/logging"
)

const roomInTests = 1000

// large is a file that no memory is kept for.
func large(seed byte) string {
	content := make([]byte, 20*roomInTests)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(content)
	return string(content)
}

func sourceOnDisk(t *testing.T, repo *gittest.Repo, dir string) *Source {
	t.Helper()
	s, err := NewSource(Options{URL: repo.URL, Branch: "main", CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.room = roomInTests
	return s
}

func holds(t *testing.T, snap *Snapshot, name, want string) {
	t.Helper()
	if got, err := snap.Read(name); err != nil || string(got) != want {
		t.Errorf("%s of commit %.10s: %d bytes for %d, %v", name, snap.Commit, len(got), len(want), err)
	}
}

// inFiles is how many bytes of a commit are not in memory.
func inFiles(snap *Snapshot) (size int64) {
	for _, p := range snap.store.places {
		if p.shelf != nil {
			size += p.size
		}
	}
	return size
}

// What memory has no room for is read from the disk, by many at once, while more is
// put there; and snapshots of before stay what they were.
func TestLargeCommitsAreOnDisk(t *testing.T) {
	repo, dir := gittest.NewRepo(t), t.TempDir()
	first, second := large(1), large(2)
	repo.Commit(map[string]string{"a/large": first, "b/small": "1\n"}, "one")
	s := sourceOnDisk(t, repo, dir)
	before := snapshot(t, s)
	if size := inFiles(before); size != int64(len(first)) {
		t.Errorf("%d bytes are in files", size)
	}
	repo.Commit(map[string]string{"c/large": second, "b/small": "2\n"}, "two")
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for range 5 {
				holds(t, before, "a/large", first)
			}
		})
	}
	after, err := s.Newer(t.Context(), before.Commit)
	if err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	holds(t, before, "b/small", "1\n")
	holds(t, after, "a/large", first)
	holds(t, after, "b/small", "2\n")
	holds(t, after, "c/large", second)
	if before.store.shelf != after.store.shelf || inFiles(after) != int64(len(first)+len(second)) {
		t.Errorf("%d bytes are in files", inFiles(after))
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("files with names: %v, %v", left, err)
	}
}

// Once nobody remembers a commit, its space on the disk is free.
func TestForgottenCommitsTakeNoSpace(t *testing.T) {
	repo, dir := gittest.NewRepo(t), t.TempDir()
	repo.Commit(map[string]string{"large": large(1)}, "one")
	snap := snapshot(t, sourceOnDisk(t, repo, dir))
	if n := openIn(t, dir); n != 1 {
		t.Errorf("%d files for one commit", n)
	}
	runtime.KeepAlive(snap)
	for end := time.Now().Add(10 * time.Second); openIn(t, dir) > 0; time.Sleep(10 * time.Millisecond) {
		if runtime.GC(); time.Now().After(end) {
			t.Fatal("the file is still open")
		}
	}
}

// openIn is how many files of a directory this process has open.
func openIn(t *testing.T, dir string) (n int) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if to, _ := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); strings.HasPrefix(to, dir) {
			n++
		}
	}
	return n
}

// Whatever becomes of the file, what is read is what was committed, or an error; and
// the next poll has it all again, though the branch has not moved.
func TestADamagedFileIsFetchedAnew(t *testing.T) {
	repo := gittest.NewRepo(t)
	content := large(1)
	repo.Commit(map[string]string{"large": content, "small": "1\n"}, "one")
	for name, damage := range map[string]func(*os.File) error{
		"one bit":   func(f *os.File) error { _, err := f.WriteAt([]byte{content[4711] ^ 1}, 4711); return err },
		"cut short": func(f *os.File) error { return f.Truncate(4711) },
		"closed":    func(f *os.File) error { return f.Close() },
	} {
		s := sourceOnDisk(t, repo, t.TempDir())
		snap := snapshot(t, s)
		if err := damage(snap.store.shelf.file); err != nil {
			t.Fatal(err)
		}
		if next, err := s.Newer(t.Context(), snap.Commit); next != nil || err != nil {
			t.Errorf("%s: before anybody has noticed: %v, %v", name, next, err)
		}
		if got, err := snap.Read("large"); err == nil || !snap.Damaged() {
			t.Errorf("%s: read %d bytes, damaged: %v", name, len(got), snap.Damaged())
		}
		again, err := s.Newer(t.Context(), snap.Commit)
		if err != nil || again == nil || again.Damaged() {
			t.Fatalf("%s: %v, %v", name, again, err)
		}
		holds(t, again, "large", content)
		if next, err := s.Newer(t.Context(), snap.Commit); next != nil || err != nil {
			t.Errorf("%s: once it is whole: %v, %v", name, next, err)
		}
	}
}

// A difference that goes by what is damaged is no reason to believe it either.
func TestADamagedFileIsNotBuiltUpon(t *testing.T) {
	repo := gittest.NewRepo(t)
	content := large(1)
	repo.Commit(map[string]string{"large": content}, "one")
	s := sourceOnDisk(t, repo, t.TempDir())
	before := snapshot(t, s)
	if err := before.store.shelf.file.Truncate(4711); err != nil {
		t.Fatal(err)
	}
	changed := content[:len(content)-3] + "end" // of which git sends a difference
	repo.Commit(map[string]string{"large": changed}, "two")
	after, err := s.Newer(t.Context(), before.Commit)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, after, "large", changed)
	if fetches := repo.Seen(gittest.Fetch); fetches != 3 {
		t.Errorf("%d fetches: want the first, one of the difference, and one of all", fetches)
	}
}

// A disk that takes nothing, or nothing more, is told of once; memory has the rest.
func TestWhatTheDiskDoesNotTakeIsInMemory(t *testing.T) {
	repo := gittest.NewRepo(t)
	content := large(1)
	repo.Commit(map[string]string{"large": content, "more": large(2)}, "one")
	var said bytes.Buffer
	log, err := logging.New(&said, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "missing")
	snap, err := sourceOnDisk(t, repo, dir).Newer(logging.Into(t.Context(), log), "")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, snap, "large", content)
	if n := strings.Count(said.String(), "goes into memory"); n != 1 || !strings.Contains(said.String(), dir) || inFiles(snap) != 0 {
		t.Errorf("%d bytes in files, and it says:\n%s", inFiles(snap), &said)
	}
}

func TestADiskThatIsFullMidway(t *testing.T) {
	full := fileThatEnds(t, 1000)
	log, err := logging.New(io.Discard, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	store := newObjectStore(&shelf{dir: "here", log: log, file: full})
	var names []plumbing.Hash
	for i := range 10 {
		o := store.NewEncodedObject()
		o.SetType(plumbing.BlobObject)
		w, _ := o.Writer()
		_, _ = w.Write(bytes.Repeat([]byte{byte(i)}, 300))
		name, err := store.SetEncodedObject(o)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	for i, name := range names {
		if got, err := readRaw(store, plumbing.BlobObject, name); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 300)) {
			t.Errorf("object %d: %d bytes, %v", i, len(got), err)
		}
		if onDisk := store.places[name].shelf != nil; onDisk != (i < 3) {
			t.Errorf("object %d on disk: %v", i, onDisk)
		}
	}
}

// fileThatEnds is a file that cannot grow beyond a size.
func fileThatEnds(t *testing.T, size int64) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("full", unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "full")
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != nil {
		t.Fatal(err)
	}
	return f
}

// Files are bounded, and when most of one is of commits that are gone, all is fetched
// anew into another.
func TestFilesDoNotGrowForEver(t *testing.T) {
	repo := gittest.NewRepo(t)
	content := large(1)
	repo.Commit(map[string]string{"large": content}, "one")
	s := sourceOnDisk(t, repo, t.TempDir())
	before := snapshot(t, s)
	before.store.shelf.end += 2*int64(len(content)) + 8*roomInMemory
	repo.Commit(map[string]string{"small": "1\n"}, "two")
	after, err := s.Newer(t.Context(), before.Commit)
	if err != nil {
		t.Fatal(err)
	}
	if after.store.shelf == before.store.shelf || after.store.shelf.end != int64(len(content)) {
		t.Errorf("the file has %d bytes", after.store.shelf.end)
	}
	holds(t, before, "large", content)
	holds(t, after, "large", content)

	after.store.shelf.end = MaxShelf - 1
	if _, err := after.store.shelf.put(place{content: []byte("too many"), size: 8}); err == nil || !strings.Contains(err.Error(), "1024 MB") {
		t.Errorf("more than there may be: %v", err)
	}
}

// A writer whose branch has large files of others writes on, whatever becomes of them.
func TestWritingBesideLargeFiles(t *testing.T) {
	repo := gittest.NewRepo(t)
	content := large(1)
	repo.Commit(map[string]string{"large": content}, "one")
	w := writer(t, repo.URL, "main")
	w.CacheDir, w.room = t.TempDir(), roomInTests
	for i, name := range []string{"a", "b", "c"} {
		if _, err := w.Commit(t.Context(), put("clusters/box/"+name, "1\n")); err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
		if err := w.base.store.shelf.file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(t.Context(), "."); err == nil {
			t.Error("what is gone was read")
		}
	}
	files, err := w.Read(t.Context(), ".")
	if err != nil || string(files["large"]) != content || string(files["clusters/box/c"]) != "1\n" {
		t.Errorf("%d files, %v", len(files), err)
	}
	repo.Git("-C", repo.Bare, "fsck", "--strict")
}
