package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
)

func TestEveryFlagIsAlsoAnEnvironmentVariable(t *testing.T) {
	t.Setenv("HOTPATCH_REPO", "https://git.example/games.git")
	t.Setenv("HOTPATCH_INTERVAL", "5s")
	t.Setenv("HOTPATCH_STATUS_BRANCH", "results")
	t.Setenv("HOTPATCH_INSECURE_REGISTRIES", "a:1,b:2")
	t.Setenv("HOTPATCH_ANALYSIS_ALLOW_ADDRESSES", "127.0.0.0/8,10.0.0.1")
	t.Setenv("HOTPATCH_GIT_AUTHOR", "Release Bot <bot@games.example>")
	s, err := parse([]string{"--interval", "7s", "--cluster", "east"})
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	if o.Repo != "https://git.example/games.git" || o.StatusBranch != "results" || strings.Join(o.InsecureRegistries, " ") != "a:1 b:2" {
		t.Errorf("from the environment: %+v", o)
	}
	if o.Author != (gitsource.Person{Name: "Release Bot", Email: "bot@games.example"}) || o.Committer != (gitsource.Person{}) {
		t.Errorf("commits are made by %+v, %+v", o.Author, o.Committer)
	}
	if _, err := parse([]string{"--git-author", "bot@games.example"}); err == nil || !strings.Contains(err.Error(), `want "Name <mail>", got "bot@games.example"`) {
		t.Errorf("an address without a name: %v", err)
	}
	if fmt.Sprint(o.AnalysisAllowAddresses) != "[127.0.0.0/8 10.0.0.1/32]" {
		t.Errorf("addresses %v", o.AnalysisAllowAddresses)
	}
	if _, err := parse([]string{"--analysis-allow-addresses", "localhost"}); err == nil || !strings.Contains(err.Error(), `want an address such as 10.0.0.1 or 127.0.0.0/8, got "localhost"`) {
		t.Errorf("a name is no address: %v", err)
	}
	if o.Interval != 7*time.Second {
		t.Errorf("interval %s: the flag must win", o.Interval)
	}
	if err := o.Validate(); err != nil {
		t.Errorf("good options are refused: %v", err)
	}
}

func TestBadOptionsAreAllNamed(t *testing.T) {
	s, err := parse([]string{"--repo", "https://bob:s3cret@git.example/games.git", "--interval", "1ms", "--listen", "here", "--git-signers-file", "x", "--status-branch", "main"})
	if err != nil {
		t.Fatal(err)
	}
	err = s.options.Validate()
	for _, want := range []string{"--cluster is not set", "--repo: the Git URL must not hold a password", "--interval 1ms is too short", `--listen "here"`, "--git-signers-file, and results that nobody signs"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	s.options.Schedule = "0 0 30 2 *"
	if err := s.options.Validate(); !strings.Contains(err.Error(), `--schedule: "0 0 30 2 *" never comes`) {
		t.Errorf("a day that never comes: %v", err)
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Error("the error holds the password")
	}
	t.Setenv("HOTPATCH_INTERVAL", "soon")
	if _, err := parse(nil); err == nil || !strings.HasPrefix(err.Error(), "HOTPATCH_INTERVAL: ") {
		t.Errorf("a bad variable is not named: %v", err)
	}
}
