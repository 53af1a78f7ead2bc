package sidecar

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A note of what has begun counts while it is whole and newer than the book, and
// is gone afterwards.
func TestNotesOfWhatHasBegun(t *testing.T) {
	const name = "a/b.html"
	first := begun{Path: name, Turn: 7, Next: next{Version: "v2", URL: "http://files.example/b.html", SHA256: sum("v2")}}
	meddle := func(content string) func(*testing.T, string) {
		return func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for what, c := range map[string]struct {
		book    string
		meddle  func(t *testing.T, file string)
		version string // that is under way, "" for none
	}{
		"no book":      {"", nil, "v2"},
		"older book":   {`{"files":{"a/b.html":{"path":"a/b.html","version":"v1","turn":6}}}`, nil, "v2"},
		"newer book":   {`{"files":{"a/b.html":{"path":"a/b.html","version":"v2","turn":7}}}`, nil, ""},
		"broken book":  {`{`, nil, "v2"},
		"empty":        {"", meddle(""), ""},
		"cut off":      {"", meddle(`{"path":"a/b.html","turn":7,"next":{"version":"v`), ""},
		"another path": {"", meddle(`{"path":"c.html","turn":7,"next":{"version":"v2"}}`), ""},
		"way out":      {"", meddle(`{"path":"../../etc/passwd","turn":7,"next":{"version":"v2"}}`), ""},
		"too long":     {"", meddle(`{"path":"a/b.html","turn":7,"next":{"version":"` + strings.Repeat("v", maxBegun) + `"}}`), ""},
	} {
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := first.write(root); err != nil {
			t.Fatal(err)
		}
		if c.book != "" {
			meddle(c.book)(t, filepath.Join(dir, bookName))
		}
		if c.meddle != nil {
			c.meddle(t, filepath.Join(dir, begunName(name)))
		}
		b, err := openBook(root)
		if (err != nil) != (c.book == "{") {
			t.Errorf("%s: %v", what, err)
		}
		version := ""
		if under := b.entry(name).Next; under != nil {
			version = under.Version
		}
		if version != c.version {
			t.Errorf("%s: under way is %q, want %q", what, version, c.version)
		}
		if _, err := os.Lstat(filepath.Join(dir, begunName(name))); (err == nil) != (c.version != "") {
			t.Errorf("%s: the note: %v", what, err)
		}
		if err := b.change(func(p *page) error { delete(p.Files, name); return nil }); err != nil {
			t.Fatal(err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Errorf("%s: left: %v", what, entries)
		}
	}
}

// A link in the place of a note leads nowhere.
func TestNoteFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	os.WriteFile(dir+"/index.html", []byte("served"), 0o644)
	if err := os.Symlink("index.html", filepath.Join(dir, begunName("x"))); err != nil {
		t.Fatal(err)
	}
	if err := (begun{Path: "x"}).write(root); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(dir + "/index.html"); string(got) != "served" {
		t.Errorf("written through the link: %q", got)
	}
}
