package gitsource

import (
	"fmt"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

func TestHistoryIsOfOneFile(t *testing.T) {
	repo := gittest.NewRepo(t)
	for i := range 4 {
		repo.Commit(map[string]string{"a/game.yaml": fmt.Sprint(i)}, fmt.Sprintf("game %d", i))
		repo.Commit(map[string]string{"a/other.yaml": fmt.Sprint(i)}, fmt.Sprintf("other %d", i))
	}
	repo.Git("rm", "-q", "a/game.yaml")
	repo.Commit(nil, "no game")
	s, err := NewSource(Options{URL: repo.URL, Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	for commits, want := range map[int]string{
		100: "no game, game 3, game 2, game 1, game 0",
		5:   "no game, game 3", // that of game 2 is the last that is known: nobody knows what it changed
		1:   "",
	} {
		past, err := s.History(t.Context(), "a/game.yaml", commits)
		if err != nil {
			t.Fatal(err)
		}
		var subjects []string
		for _, p := range past {
			subjects = append(subjects, p.Subject)
		}
		if got := strings.Join(subjects, ", "); got != want {
			t.Errorf("of %d commits: %q, want %q", commits, got, want)
		}
	}
	past, err := s.History(t.Context(), "a/game.yaml", 100)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := past[1].Read("a/game.yaml"); err != nil || string(content) != "3" {
		t.Errorf("it was %q, %v", content, err)
	}
	if _, err := past[0].Read("a/game.yaml"); err == nil {
		t.Error("it is there after it was removed")
	}
}
