package gitsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

func writer(t *testing.T, url, branch string) *Writer {
	t.Helper()
	return writing(t, Options{URL: url, Branch: branch, Timeout: 10 * time.Second})
}

func writing(t *testing.T, o Options) *Writer {
	t.Helper()
	w, err := NewWriter(WriterOptions{Options: o, Author: Person{Name: "Hotpatch", Email: "hotpatch@box"}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// follower is what a reconciler has of a repository: who reads its branch, the commit
// that it is at, and who writes results beside it.
func follower(t *testing.T, o Options) (s *Source, known string, w *Writer) {
	t.Helper()
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	known = snapshot(t, s).Commit
	o.Branch = "hotpatch-status"
	return s, known, writing(t, o)
}

func put(name, content string) Change {
	return Change{Files: map[string][]byte{name: []byte(content)}, Subject: "put " + name, Trailers: [][2]string{{"Cluster", "box"}}}
}

func TestCommitMakesTheBranchAndTouchesOnlyItsFiles(t *testing.T) {
	repo := gittest.NewRepo(t)
	for _, branch := range []string{"hotpatch-status", "main"} {
		w := writer(t, repo.URL, branch)
		if _, err := w.Commit(t.Context(), put("clusters/box/default/game.yaml", "1\n")); err != nil {
			t.Fatal(err)
		}
		if got := repo.Show(branch, "clusters/box/default/game.yaml"); got != "1\n" {
			t.Errorf("%s: file is %q", branch, got)
		}
		if _, err := w.Commit(t.Context(), put("clusters/box/default/game.yaml", "1\n")); !errors.Is(err, ErrNothingToCommit) {
			t.Errorf("%s: the same again: %v", branch, err)
		}
		files, err := writer(t, repo.URL, branch).Read(t.Context(), "clusters/box")
		if err != nil || len(files) != 1 || string(files["clusters/box/default/game.yaml"]) != "1\n" {
			t.Errorf("%s: read back %v, %v", branch, files, err)
		}
		gone := Change{Files: map[string][]byte{"clusters/box/default/game.yaml": nil}, Subject: "gone"}
		if _, err := w.Commit(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		if log := repo.Log(branch); log[0] != "gone" || log[1] != "put clusters/box/default/game.yaml" {
			t.Errorf("%s: log %q", branch, log)
		}
	}
	if got := repo.Show("main", "README.md"); got != "first\n" {
		t.Errorf("someone else's file is %q", got)
	}
}

// Someone moves the branch between our commits, and between our look and our
// push: theirs stays, ours lands on top.
func TestLostRaceIsRetriedOnTheNewTip(t *testing.T) {
	repo := gittest.NewRepo(t)
	w := writer(t, repo.URL, "main")
	if _, err := w.Commit(t.Context(), put("ours", "1")); err != nil {
		t.Fatal(err)
	}
	repo.Git("pull", "-q", "--rebase", "origin", "main")
	repo.Commit(map[string]string{"theirs": "1"}, "theirs")
	if _, err := w.Commit(t.Context(), put("ours", "2")); err != nil {
		t.Fatal(err)
	}
	if repo.Show("main", "ours") != "2" || repo.Show("main", "theirs") != "1" {
		t.Errorf("ours %q, theirs %q", repo.Show("main", "ours"), repo.Show("main", "theirs"))
	}
	if log := strings.Join(repo.Log("main"), "|"); log != "put ours|theirs|put ours|first" {
		t.Errorf("log %s", log)
	}
}

// Somebody deletes the branch, or puts it elsewhere: the next commit brings back
// what was lost. While nobody does, nothing is asked for.
func TestWhatOthersTookAwayIsRestored(t *testing.T) {
	repo := gittest.NewRepo(t)
	w := writer(t, repo.URL, "status")
	asked := 0
	next := func(name, content string) Change {
		change := put(name, content)
		change.Restore = func() (map[string][]byte, error) {
			asked++
			return map[string][]byte{"a": []byte("1"), "b": []byte("1"), name: []byte("old")}, nil
		}
		return change
	}
	commit := func(change Change, wantAsked int) {
		t.Helper()
		if _, err := w.Commit(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		if asked != wantAsked {
			t.Errorf("asked %d times what to restore, want %d", asked, wantAsked)
		}
	}
	commit(next("a", "1"), 0)
	commit(next("b", "1"), 0)
	repo.Git("push", "-q", "origin", ":status")
	commit(next("c", "1"), 1)
	repo.Git("push", "-q", "--force", "origin", "main:status")
	commit(next("c", "2"), 2)
	if got := repo.Show("status", "a") + repo.Show("status", "b") + repo.Show("status", "c") + repo.Show("status", "README.md"); got != "112first\n" {
		t.Errorf("the branch has %q", got)
	}
	commit(next("c", "3"), 2)
}

// Many clusters share one branch, and all have something to say at once: each
// result lands, and none takes back another's. How long they wait, `make bench-git`
// tells.
func TestManyWritersLoseNothing(t *testing.T) {
	repo := gittest.NewRepo(t)
	const writers, commits = 20, 4
	var all sync.WaitGroup
	for n := range writers {
		w := writer(t, repo.URL, "hotpatch-status")
		all.Go(func() {
			for i := range commits {
				name := fmt.Sprintf("clusters/c%d/game.yaml", n)
				if _, err := w.Commit(t.Context(), put(name, fmt.Sprint(i))); err != nil {
					t.Errorf("writer %d, commit %d: %v", n, i, err)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d writers, %d commits, %d pushes", writers, writers*commits, repo.Seen(gittest.ListForPush))
	if n := len(repo.Log("hotpatch-status")); n != writers*commits {
		t.Errorf("%d commits landed, want %d", n, writers*commits)
	}
	for n := range writers {
		if got := repo.Show("hotpatch-status", fmt.Sprintf("clusters/c%d/game.yaml", n)); got != fmt.Sprint(commits-1) {
			t.Errorf("writer %d ended at %q", n, got)
		}
	}
}

// Others are faster each time: the deadline ends it, and it says so.
func TestLostRacesEndWithTheDeadline(t *testing.T) {
	repo := gittest.NewRepo(t)
	var mu sync.Mutex // the server may be at it yet when the writer has given up
	moves := 0
	repo.Break(gittest.ListForPush, func(http.ResponseWriter, *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		moves++
		tip := strings.TrimSpace(repo.Git("-C", repo.Bare, "commit-tree", "-p", "main", "-m", fmt.Sprint("move ", moves), "main^{tree}"))
		repo.Git("-C", repo.Bare, "update-ref", "refs/heads/main", tip)
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	_, err := writer(t, repo.URL, "main").Commit(ctx, put("ours", "1"))
	mu.Lock()
	defer mu.Unlock()
	if !errors.Is(err, context.DeadlineExceeded) || moves < 2 {
		t.Errorf("after %d races: %v", moves, err)
	}
	if log := repo.Log("main"); log[0] != fmt.Sprint("move ", moves) {
		t.Errorf("the branch is at %q", log[0])
	}
}

func TestRefusedByAHook(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Hook("pre-receive", "echo 'status commits are frozen until Monday'\nexit 1\n")
	_, err := writer(t, repo.URL, "main").Commit(t.Context(), put("ours", "1"))
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "frozen until Monday") {
		t.Errorf("got %v", err)
	}
}

// A server says of a branch that cannot be made what it says of a lost race.
func TestABranchThatCannotBeMadeIsSaidToBe(t *testing.T) {
	repo := gittest.NewRepo(t)
	_, err := writer(t, repo.URL, "main/status").Commit(t.Context(), put("ours", "1"))
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "failed to update ref") {
		t.Errorf("got %v", err)
	}
}

// Between what the server lists for a push and the push itself somebody else moves the
// branch, or is the one who makes it, once: the server sees it under its lock, and ours
// goes on top of theirs.
func TestSomebodyIsFasterThanThePush(t *testing.T) {
	for _, branch := range []string{"main", "hotpatch-status"} {
		repo := gittest.NewRepo(t)
		w := writer(t, repo.URL, branch)
		if branch == "main" { // so that it does not look for the tip first
			if _, err := w.Commit(t.Context(), put("ours", "1")); err != nil {
				t.Fatal(err)
			}
			repo.Git("pull", "-q", "--rebase", "origin", "main")
		}
		pushes, moved := repo.Seen(gittest.Push), ""
		repo.Break(gittest.Push, func(http.ResponseWriter, *http.Request) bool {
			if moved == "" {
				repo.Git("checkout", "-q", "-B", branch)
				moved = repo.Commit(map[string]string{"theirs": "1", "ours": "theirs"}, "theirs")
			}
			return false
		})
		hash, err := w.Commit(t.Context(), put("ours", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if n := repo.Seen(gittest.Push) - pushes; n != 2 {
			t.Errorf("%s: %d pushes, want one that is lost and one that lands", branch, n)
		}
		if tip, before := repo.Git("-C", repo.Bare, "rev-parse", branch), repo.Git("-C", repo.Bare, "rev-parse", branch+"^"); tip != hash || before != moved {
			t.Errorf("%s: at %s upon %s, want %s upon %s", branch, tip, before, hash, moved)
		}
		if repo.Show(branch, "ours") != "2" || repo.Show(branch, "theirs") != "1" || repo.Show(branch, "README.md") != "first\n" {
			t.Errorf("%s: it has %s", branch, repo.Git("-C", repo.Bare, "ls-tree", "-r", branch))
		}
	}
}
