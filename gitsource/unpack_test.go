package gitsource

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// importBlob has the server's main branch have one more file, of so many bytes, in a
// pack that is sent as it is: what Git needs to make it is not what is tested.
func importBlob(t *testing.T, repo *gittest.Repo, name string, size int64, from io.Reader, compression string) {
	t.Helper()
	head := fmt.Sprintf("commit refs/heads/main\ncommitter Ann <ann@example.org> 1800000000 +0000\ndata 5\nlarge\nfrom refs/heads/main^0\nM 100644 inline %s\ndata %d\n", name, size)
	cmd := exec.Command("git", "-C", repo.Bare, "-c", "core.compression="+compression, "-c", "fastimport.unpackLimit=1", "fast-import", "--quiet")
	cmd.Stdin = io.MultiReader(strings.NewReader(head), io.LimitReader(from, size))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v: %s", err, out)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// allocated is how many MB something takes of memory, at the most: all that it ever took.
func allocated(do func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int((after.TotalAlloc - before.TotalAlloc) >> 20)
}

// Files that are too large to be read cost no memory, whether a server sends much for
// them or next to nothing. The others beside them are followed, and written.
func TestLargeAssetsTakeNoMemory(t *testing.T) {
	repo := gittest.NewRepo(t)
	importBlob(t, repo, "assets/zeros", 300<<20, zeros{}, "1")
	importBlob(t, repo, "assets/random", 100<<20, rand.NewChaCha8([32]byte{1}), "0")
	for _, dir := range []string{"", t.TempDir()} {
		repo.Old = dir != ""
		s, err := NewSource(Options{URL: repo.URL, Branch: "main", CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var snap *Snapshot
		if mb := allocated(func() { snap = snapshot(t, s) }); mb > 20 {
			t.Errorf("in %q: %d MB of memory", dir, mb)
		}
		files, err := snap.Files("assets")
		if err != nil || len(files) != 2 || files[0].Size != 100<<20 || files[1].Size != 300<<20 {
			t.Errorf("in %q: %+v, %v", dir, files, err)
		}
		if _, err := snap.Read("assets/zeros"); err == nil || err.Error() != "assets/zeros has 314572800 bytes; at most 67108864 are read" {
			t.Errorf("in %q: %v", dir, err)
		}
		holds(t, snap, "README.md", "first\n")
	}
	repo.Old = false
	w := writer(t, repo.URL, "main")
	w.Timeout = DefaultTimeout
	for i := range 2 {
		if _, err := w.Commit(t.Context(), put("ours", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if got := repo.Show("main", "ours"); got != "1" {
		t.Errorf("the branch has %q", got)
	}
}

// A file that is read takes about its own size, once, on its way to the disk; twice that
// under the race detector, where buffers grow otherwise.
func TestOnTheWayToTheDiskAFileIsInMemoryOnce(t *testing.T) {
	repo := gittest.NewRepo(t)
	importBlob(t, repo, "assets/a", 50<<20, rand.NewChaCha8([32]byte{1}), "0")
	importBlob(t, repo, "assets/b", 50<<20, rand.NewChaCha8([32]byte{2}), "0")
	s := sourceOnDisk(t, repo, t.TempDir())
	var snap *Snapshot
	if mb := allocated(func() { snap = snapshot(t, s) }); mb > 120 {
		t.Errorf("%d MB of memory for two files of 50", mb)
	}
	content, err := snap.Read("assets/b")
	want := make([]byte, 50<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(want)
	if err != nil || !bytes.Equal(content, want) {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}

// packOf is a pack of what is already as it stands in one.
func packOf(objects ...[]byte) io.Reader {
	pack := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(objects)))
	for _, o := range objects {
		pack = append(pack, o...)
	}
	sum := sha1.Sum(pack)
	return bytes.NewReader(append(pack, sum[:]...))
}

func inPack(kind plumbing.ObjectType, size int64, base, content []byte) []byte {
	b := bytes.NewBuffer(append(packHead(kind, size), base...))
	squeeze := zlib.NewWriter(b)
	_, _ = squeeze.Write(content)
	squeeze.Close()
	return b.Bytes()
}

func blobInPack(content []byte) []byte {
	return inPack(plumbing.BlobObject, int64(len(content)), nil, content)
}

func deltaInPack(base plumbing.Hash, delta []byte) []byte {
	return inPack(plumbing.REFDeltaObject, int64(len(delta)), base[:], delta)
}

// delta is a difference that has steps after its two sizes.
func delta(from, to int64, steps ...byte) []byte {
	var d []byte
	for _, size := range []int64{from, to} {
		for ; size > 0x7f; size >>= 7 {
			d = append(d, byte(size)|0x80)
		}
		d = append(d, byte(size))
	}
	return append(d, steps...)
}

// Differences may stand before what they differ from, and lead to what is too large to
// be read.
func TestDifferencesAreResolved(t *testing.T) {
	base := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MB
	second := append([]byte("x"), base[:0x20000]...)
	third := append([]byte("y"), second[:0x10000]...)
	name := func(content []byte) plumbing.Hash { return plumbing.ComputeHash(plumbing.BlobObject, content) }
	huge, steps := int64(0), []byte{}
	for range 80 { // of the whole base
		steps = append(steps, 0xf0, 0, 0, 0x10)
		huge += int64(len(base))
	}
	store := newObjectStore(nil)
	mb := allocated(func() {
		err := unpack(t.Context(), packOf(
			deltaInPack(name(second), delta(int64(len(second)), int64(len(third)), 1, 'y', 0x80)),
			deltaInPack(name(base), delta(int64(len(base)), int64(len(second)), 1, 'x', 0xc0, 2)),
			deltaInPack(name(base), delta(int64(len(base)), huge, steps...)),
			blobInPack(base),
		), store)
		if err != nil {
			t.Fatal(err)
		}
	})
	if mb > 20 {
		t.Errorf("%d MB of memory", mb)
	}
	for _, want := range [][]byte{base, second, third} {
		if got, err := readRaw(store, plumbing.BlobObject, name(want)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes for %d, %v", len(got), len(want), err)
		}
	}
	if size, err := store.EncodedObjectSize(name(bytes.Repeat(base, 80))); err != nil || size != huge {
		t.Errorf("what is too large has %d bytes, %v", size, err)
	}
}

// Whatever a pack holds, it takes no more memory than is meant for one file, and ends.
func TestPacksThatAreRefused(t *testing.T) {
	small := []byte("0123456789")
	name := plumbing.ComputeHash(plumbing.BlobObject, small)
	long := make([]byte, MaxFileSize+1)
	longName := plumbing.ComputeHash(plumbing.BlobObject, long)
	copies := bytes.Repeat([]byte{0x90, 10}, 1<<20)
	for what, c := range map[string]struct {
		pack io.Reader
		want string
	}{
		"from one too large":      {packOf(blobInPack(long), deltaInPack(longName, delta(int64(len(long)), 1, 1, 'x'))), "blob " + longName.String() + " has 67108865 bytes; at most 67108864 are read; have Git keep such files whole"},
		"too large itself":        {packOf(inPack(plumbing.REFDeltaObject, int64(len(long)), name[:], long)), "a difference of 67108865 bytes"},
		"from nothing":            {packOf(deltaInPack(name, delta(10, 1, 1, 'x'))), "not there"},
		"from itself":             {packOf(blobInPack(small), inPack(plumbing.OFSDeltaObject, 4, []byte{1}, delta(10, 1, 1, 'x'))), "not there"},
		"from another size":       {packOf(blobInPack(small), deltaInPack(name, delta(11, 1, 1, 'x'))), "not well formed"},
		"beyond its base":         {packOf(blobInPack(small), deltaInPack(name, delta(10, 10, 0x91, 1, 10))), "not well formed"},
		"cut short":               {packOf(blobInPack(small), deltaInPack(name, delta(10, 10, 5, 'x'))), "not well formed"},
		"a step that is none":     {packOf(blobInPack(small), deltaInPack(name, delta(10, 10, 0))), "not well formed"},
		"less than it says":       {packOf(blobInPack(small), deltaInPack(name, delta(10, 10, 1, 'x'))), "another size"},
		"more than it says":       {packOf(blobInPack(small), deltaInPack(name, delta(10, 10, copies...))), "another size"},
		"a blob of less":          {packOf(inPack(plumbing.BlobObject, 1<<40, nil, small)), "another size"},
		"a blob of more":          {packOf(inPack(plumbing.BlobObject, 9, nil, small)), "size"},
		"a kind there is not":     {packOf(inPack(5, 10, nil, small)), "kind 5"},
		"another sum":             {io.MultiReader(io.LimitReader(packOf(blobInPack(small)), 31), strings.NewReader(strings.Repeat("x", 40))), ""},
		"more than there are":     {bytes.NewReader([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff")), "EOF"},
		"a size beyond all sizes": {packOf(blobInPack(small), deltaInPack(name, bytes.Repeat([]byte{0xff}, 20))), "not well formed"},
	} {
		var err error
		if mb := allocated(func() { err = unpack(t.Context(), c.pack, newObjectStore(nil)) }); mb > 100 {
			t.Errorf("%s: %d MB of memory", what, mb)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A difference of few bytes may be an object of very many.
func TestUnpackingEndsWithItsContext(t *testing.T) {
	base := make([]byte, 1<<20)
	steps := bytes.Repeat([]byte{0xf0, 0, 0, 0x10}, 1<<20)
	pack := packOf(blobInPack(base), deltaInPack(plumbing.ComputeHash(plumbing.BlobObject, base), delta(1<<20, 1<<40, steps...)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := unpack(ctx, pack, newObjectStore(nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What is made of a difference is what go-git makes of it.
func FuzzDifferences(f *testing.F) {
	base := []byte("0123456789")
	f.Add(base, delta(10, 3, 0x91, 1, 3))
	f.Add(base, delta(10, 4, 1, 'x', 0x91, 1, 3))
	f.Add(base, delta(10, 1<<40, 0x90, 10))
	f.Add(base, bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(t *testing.T, base, how []byte) {
		size, steps, err := readDelta(base, how)
		if size > 1<<20 || len(base) == 0 {
			return
		}
		var got bytes.Buffer
		if err == nil {
			err = applyDelta(io.MultiWriter(&leftToWrite{t.Context(), size}, &got), base, steps)
		}
		right := err == nil && int64(got.Len()) == size
		want, err := packfile.PatchDelta(base, how)
		if right != (err == nil) || right && !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%q by %q is %q (%v); go-git says %q, %v", base, how, &got, right, want, err)
		}
	})
}
