package gitsource

import (
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// With file:// it is git's own program that reads, which images of servers may lack.
func TestFilesNeedGitsProgram(t *testing.T) {
	repo := gittest.NewRepo(t)
	o := Options{URL: "file://" + repo.Bare, Branch: "main"}
	s, known, w := follower(t, o)
	t.Setenv("PATH", t.TempDir())
	const want = "file:// needs git's own program in PATH"
	if _, err := s.Newer(t.Context(), known); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if _, err := w.Commit(t.Context(), put("a", "1")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a push: got %v, want %q", err, want)
	}
}
