package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// Reconcilers push all the while that the branch is made compact: every result is
// there in the end, and the branch is shorter than what was pushed.
func TestCompactWhileResultsCome(t *testing.T) {
	for _, who := range []string{"AUTHOR", "COMMITTER"} { // a fresh machine knows nobody
		t.Setenv("GIT_"+who+"_NAME", "ann")
		t.Setenv("GIT_"+who+"_EMAIL", "ann@example.org")
	}
	repo := gittest.NewRepo(t)
	w, err := gitsource.NewWriter(gitsource.WriterOptions{Options: gitsource.Options{URL: repo.URL, Branch: "hotpatch-status"}, Author: gitsource.Person{Name: "Hotpatch", Email: "hotpatch@box"}})
	if err != nil {
		t.Fatal(err)
	}
	push := func(n int) {
		name := fmt.Sprintf("clusters/box/default/game-%d.yaml", n)
		if _, err := w.Commit(t.Context(), gitsource.Change{Files: map[string][]byte{name: []byte(name)}, Subject: name}); err != nil {
			t.Error(err)
		}
	}
	pushed := 0
	for ; pushed < 5; pushed++ {
		push(pushed)
	}
	dir := t.TempDir()
	repo.Git("clone", "-q", "file://"+repo.Bare, dir)
	compact := func() error {
		return statusBranch(t.Context(), Streams{Out: io.Discard, Err: io.Discard}, []string{"compact", "--dir", dir, "--keep", "1", "--push"})
	}
	const wanted, rounds = 2, 20
	over := make(chan int)
	go func() {
		made := 0
		for range rounds {
			if made == wanted {
				break
			}
			err := compact()
			if err == nil {
				made++
			} else if !strings.Contains(err.Error(), errMovedAway.Error()) {
				t.Error(err)
			}
		}
		over <- made
	}()
	made := -1
	for made < 0 {
		select {
		case made = <-over:
		default:
			push(pushed)
			pushed++
			time.Sleep(rand.N(time.Second))
		}
	}
	if made < wanted {
		t.Errorf("made compact %d times of %d", made, rounds)
	}
	if err := compact(); err != nil {
		t.Fatal(err)
	}
	push(pushed)
	for n := range pushed + 1 {
		name := fmt.Sprintf("clusters/box/default/game-%d.yaml", n)
		if repo.Show("hotpatch-status", name) != name {
			t.Errorf("%s is lost", name)
		}
	}
	if left := len(repo.Log("hotpatch-status")); left != 3 {
		t.Errorf("%d commits are left, want 3", left)
	}
	t.Logf("%d pushes, made compact %d times meanwhile", pushed+1, made)
}
