package gitsource

import (
	"errors"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// tagged tags a new commit and returns that.
func tagged(repo *gittest.Repo, name string, args ...string) string {
	commit := repo.Commit(map[string]string{"version": name}, "release "+name)
	repo.Git(append(append(args, "tag"), "-m", name, name)...)
	repo.Git("push", "-q", "-f", "origin", "refs/tags/"+name)
	return commit
}

func TestHighestVersionThatFitsIsRead(t *testing.T) {
	repo, commits := gittest.NewRepo(t), map[string]string{}
	for _, name := range []string{"v1.9.0", "v1.10.0", "v1.2", "v2.0.0-rc.1", "v2.0.0", "v3.0.0-rc.1", "nightly", "1.10.0"} {
		commits[name] = tagged(repo, name)
	}
	repo.Git("tag", "v1.11.0", commits["nightly"]) // without an object of its own
	repo.Git("push", "-q", "origin", "refs/tags/v1.11.0")
	for pattern, want := range map[string]string{"v1.*": "nightly", "~1.10": "v1.10.0", "<1.9": "v1.2", ">=1.0": "v2.0.0", ">=3.0.0-0": "v3.0.0-rc.1", "2.0.0-rc.1": "v2.0.0-rc.1"} {
		s, err := NewSource(Options{URL: repo.URL, Branch: "main", Tag: pattern})
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Newer(t.Context(), "")
		if err != nil || got.Commit != commits[want] {
			t.Fatalf("%s: %+v, %v, want %s", pattern, got, err, want)
		}
		fetches := repo.Seen(gittest.Fetch)
		if again, err := s.Newer(t.Context(), got.Commit); again != nil || err != nil || repo.Seen(gittest.Fetch) != fetches {
			t.Errorf("%s, once more: %v, %v", pattern, again, err)
		}
	}
	s, err := NewSource(Options{URL: repo.URL, Branch: "main", Tag: "~1.10"})
	if err != nil {
		t.Fatal(err)
	}
	next := tagged(repo, "v1.10.1")
	if got, err := s.Newer(t.Context(), commits["v1.10.0"]); err != nil || got == nil || got.Commit != next {
		t.Errorf("after the next one: %v, %v", got, err)
	}
	repo.Git("push", "-q", "origin", ":refs/tags/v1.10.1")
	if got, err := s.Newer(t.Context(), next); err != nil || got == nil || got.Commit != commits["v1.10.0"] {
		t.Errorf("after it was deleted: %v, %v", got, err)
	}
	s.Tag = "v7.*"
	if _, err := s.Newer(t.Context(), next); err == nil || !strings.Contains(err.Error(), "none of the tags") {
		t.Errorf("where none fits: %v", err)
	}
}

func TestOneCommitIsReadAndNoOther(t *testing.T) {
	repo := gittest.NewRepo(t)
	pinned := repo.Commit(map[string]string{"version": "1"}, "release v1")
	repo.Commit(map[string]string{"version": "2"}, "release v2")
	s, err := NewSource(Options{URL: "file://" + repo.Bare, Branch: "main", Commit: pinned})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Newer(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "hands out tips alone") {
		t.Errorf("where that is not allowed: %v", err)
	}
	repo.Git("-C", repo.Bare, "config", "uploadpack.allowReachableSHA1InWant", "true")
	if got, err := s.Newer(t.Context(), ""); err != nil || got.Commit != pinned {
		t.Errorf("got %v, %v", got, err)
	}
	s.URL = repo.URL // git's HTTP server needs no leave for that
	if got, err := s.Newer(t.Context(), ""); err != nil || got.Commit != pinned {
		t.Errorf("over HTTP: %v, %v", got, err)
	}
	lists := repo.Seen(gittest.ListForFetch)
	if got, err := s.Newer(t.Context(), pinned); got != nil || err != nil || repo.Seen(gittest.ListForFetch) != lists {
		t.Errorf("once more: %v, %v", got, err)
	}
}

func TestChoicesThatMeanNothingAreRefused(t *testing.T) {
	for want, o := range map[string]Options{
		"not both":       {Tag: "v1.*", Commit: strings.Repeat("a", 40)},
		"want its whole": {Commit: "abc123"},
		"want versions":  {Tag: "release-*"},
	} {
		o.URL, o.Branch = "https://git.example/a", "main"
		if _, err := NewSource(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// The tag must be signed, and have the name that it was signed with.
func TestOnlySignedTagsCount(t *testing.T) {
	needVerifiers(t)
	repo, ann := gittest.NewRepo(t), newKey(t)
	sign := []string{"-c", "gpg.format=ssh", "-c", "tag.gpgSign=true", "-c", "user.signingKey=" + private(t, gittest.PrivateKey(t, ann, ""))}
	s, err := NewSource(Options{URL: repo.URL, Branch: "main", Tag: "v1.*", SignersFile: private(t, allowed(t, "", ann))})
	if err != nil {
		t.Fatal(err)
	}
	good := tagged(repo, "v1.0.0", sign...)
	if got, err := s.Newer(t.Context(), ""); err != nil || got.Commit != good {
		t.Fatalf("got %v, %v", got, err)
	}
	refused := func(why string) {
		t.Helper()
		got, err := s.Newer(t.Context(), "")
		var unverified *UnverifiedError
		if got != nil || !errors.As(err, &unverified) || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, %v; want %q", got, err, why)
		}
	}
	tagged(repo, "v1.1.0")
	refused("is not signed")
	commitSigned(t, repo, ann, "a signed commit")
	repo.Git("tag", "v1.2.0")
	repo.Git("push", "-q", "origin", "refs/tags/v1.2.0")
	refused("has a tag without a signature")
	repo.Git("push", "-q", "origin", repo.Git("rev-parse", "v1.0.0")+":refs/tags/v1.3.0")
	refused("was made as v1.0.0")
	next := tagged(repo, "v1.4.0", sign...)
	if got, err := s.Newer(t.Context(), good); err != nil || got == nil || got.Commit != next {
		t.Errorf("got %v, %v", got, err)
	}
}
