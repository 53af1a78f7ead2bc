package gitsource

import (
	"bytes"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Whatever a server says, what reads it ends, and believes only what is well formed.
func FuzzPktLines(f *testing.F) {
	hash := strings.Repeat("a1", 20)
	for _, seed := range []string{
		"", "0000", "0001", "0002", "0003", "0004", "ffff", "fff1", "zzzz", "000", "0009ERR ", "000eversion 2\n0000", "<html>",
		"003d" + hash + " refs/heads/main\n0000", "0035" + hash + " HEAD symref-target:x\n0000", "000dpackfile\n0000",
		"0010shallow-info0001000dpackfile\n0008\x01PAC0000", "000cls-refs\n0013fetch=shallow\n0000",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		lines, rest := 0, bytes.NewReader(said)
		for ; ; lines++ {
			kind, line, err := readLine(rest)
			if err != nil {
				break
			}
			if kind != text && line != nil || bytes.HasPrefix(line, []byte("ERR ")) {
				t.Errorf("%v %q", kind, line)
			}
		}
		if lines > len(said)/4 {
			t.Errorf("%d lines of %d bytes", lines, len(said))
		}
		refs, err := readRefs(bytes.NewReader(said))
		for name, hash := range refs {
			if err != nil || name == "" || !bytes.Contains(said, []byte(name)) || !bytes.Contains(bytes.ToLower(said), []byte(hash.String())) {
				t.Errorf("%q at %s, %v", name, hash, err)
			}
		}
		_ = readGreeting(bytes.NewReader(said))
		_ = skipTo("packfile", bytes.NewReader(said))
	})
}

// What was asked is read back as it was meant.
func FuzzRequests(f *testing.F) {
	f.Add("ls-refs", "ref-prefix refs/heads/main")
	f.Fuzz(func(t *testing.T, command, argument string) {
		if len(command)+len(argument) > 60_000 || strings.HasSuffix(argument, "\n") || strings.HasPrefix(argument, "ERR ") {
			return
		}
		r := bytes.NewReader(request(command, argument))
		for i, want := range []struct {
			kind mark
			line string
		}{{text, "command=" + command}, {delimiter, ""}, {text, argument}, {flush, ""}} {
			if kind, line, err := readLine(r); err != nil || kind != want.kind || string(line) != want.line && !strings.HasSuffix(want.line, "\n") {
				t.Errorf("line %d: %v %q, %v", i, kind, line, err)
			}
		}
		if _, _, err := readLine(r); err != io.ErrUnexpectedEOF {
			t.Errorf("at the end: %v", err)
		}
	})
}

// Trees hold whatever a server likes. Files are below their directory, all of them
// or none; what is gathered is read just so.
func FuzzTrees(f *testing.F) {
	blob := plumbing.ComputeHash(plumbing.BlobObject, []byte("content"))
	for _, name := range []string{"a.yaml", "..", ".", "", "a/b", "/etc", "../x", ".git", "\n"} {
		f.Add([]byte("100644 "+name+"\x00"+string(blob[:])), []byte(nil))
	}
	f.Add([]byte("120000 link\x00"+string(blob[:])), []byte("160000 module\x00"+string(blob[:])))
	f.Add([]byte("100644 cut"), []byte("40000 dir\x00"))
	f.Add([]byte(nil), []byte("999999999999 odd\x00"+string(blob[:])))
	f.Fuzz(func(t *testing.T, below, above []byte) {
		store := newObjectStore(nil)
		put := func(kind plumbing.ObjectType, content []byte) plumbing.Hash { return stored(t, store, kind, content) }
		put(plumbing.BlobObject, []byte("content"))
		inner := put(plumbing.TreeObject, below)
		root := put(plumbing.TreeObject, append(append([]byte("40000 below\x00"), inner[:]...), above...))
		g := &grower{store: store}
		commit, err := g.save(&object.Commit{TreeHash: root})
		if err != nil {
			t.Fatal(err)
		}
		whole := newObjectStore(nil)
		gathered := gather(store, commit, whole)
		snapshot, err := newSnapshot(store, commit)
		if err != nil {
			return // a tree that is none
		}
		files, _ := snapshot.Files("below")
		for _, file := range files {
			if path.Clean(file.Path) != file.Path || !strings.HasPrefix(file.Path, "below/") {
				t.Errorf("%q is not below", file.Path)
			}
		}
		if _, all := snapshot.Files("."); all == nil && gathered == nil {
			again, err := newSnapshot(whole, commit)
			if err != nil {
				t.Fatal(err)
			}
			if found, err := again.Files("below"); err != nil || len(found) != len(files) {
				t.Errorf("gathered, it is %d files for %d: %v", len(found), len(files), err)
			}
		}
	})
}
