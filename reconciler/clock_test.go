package reconciler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// Somebody whose clock is ahead by minutes or years, or behind, has committed to the
// branch of results, as an earlier leader may have. What is committed from then on
// says when it was, as far as our clock knows; the branch never goes back in time, so
// that whoever asks for what is newer than a date has all of it.
func TestResultsAfterCommitsOfAnyDate(t *testing.T) {
	for name, by := range map[string]time.Duration{"minutes ahead": 7 * time.Minute, "years ahead": 3 * 365 * 24 * time.Hour, "years behind": -25 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			repo, cluster, theirs := gittest.NewRepo(t), newObedient(2), time.Now().Add(by)
			repo.Commit(manifest("a"), "release v1")
			t.Setenv("GIT_COMMITTER_DATE", theirs.Format(time.RFC3339))
			repo.Git("push", "-q", "origin", repo.Git("commit-tree", "-m", "theirs", emptyTree)+":refs/heads/hotpatch-status")
			began := time.Now().Truncate(time.Second)

			r, stop := lead(t, repo, "hotpatch-status", cluster)
			for _, image := range []string{"a", "b"} {
				repo.Commit(manifest(image), "release "+image)
				r.pollNow()
				eventually(t, "release "+image, func() bool {
					s := recorded(t, repo)
					return s.Phase == api.PhaseComplete && strings.Contains(s.Containers[0].Image, strings.Repeat(image, 64))
				})
			}
			stop()
			commits := len(repo.Log("hotpatch-status"))
			next, stop := lead(t, repo, "hotpatch-status", cluster)
			eventually(t, "a pass", func() bool { return *next.state.Load() == nil })
			stop()
			if now := len(repo.Log("hotpatch-status")); now != commits {
				t.Errorf("the next one commits %d times though nothing is new", now-commits)
			}
			checkDates(t, repo, began, theirs)
			checkHistory(t, repo, commits-1)
		})
	}
}

const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

func checkDates(t *testing.T, repo *gittest.Repo, began, theirs time.Time) {
	var last int64
	for line := range strings.Lines(repo.Git("-C", repo.Bare, "log", "--reverse", "--format=%ct %at %an", "hotpatch-status")) {
		var committed, authored int64
		var author string
		if _, err := fmt.Sscan(line, &committed, &authored, &author); err != nil {
			t.Fatal(err)
		}
		if committed < last {
			t.Errorf("the branch goes back from %d to %d", last, committed)
		}
		last = committed
		if author != "Ann" && (authored < began.Unix() || authored > time.Now().Unix()) {
			t.Errorf("a commit says it was made at %d, which was at %d", authored, began.Unix())
		}
	}
	all := repo.Git("-C", repo.Bare, "rev-list", "--count", "hotpatch-status")
	since := min(theirs.Unix(), began.Unix()) - 1
	if found := repo.Git("-C", repo.Bare, "rev-list", "--count", fmt.Sprint("--since=", since), "hotpatch-status"); found != all {
		t.Errorf("since %d there are %s commits of %s", since, found, all)
	}
}

// checkHistory holds that all results are told, the newest first.
func checkHistory(t *testing.T, repo *gittest.Repo, results int) {
	source, err := gitsource.NewSource(gitsource.Options{URL: repo.URL, Branch: "hotpatch-status"})
	if err != nil {
		t.Fatal(err)
	}
	past, err := source.History(t.Context(), record, 100)
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Time
	var subjects []string
	for _, p := range past {
		times, subjects = append(times, p.Time), append(subjects, p.Subject)
	}
	slices.Reverse(times)
	if len(past) != results || !slices.IsSortedFunc(times, time.Time.Compare) {
		t.Errorf("of %d results the history has %q at %v", results, subjects, times)
	}
	if !strings.HasPrefix(subjects[0], "game: 2 of 2 on bbbb") || checkCourse(t, repo) != results {
		t.Errorf("the history has %q", subjects)
	}
}
