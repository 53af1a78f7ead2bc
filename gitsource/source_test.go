package gitsource

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

func source(t *testing.T, url string) *Source {
	t.Helper()
	s, err := NewSource(Options{URL: url, Branch: "main", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func snapshot(t *testing.T, s *Source) *Snapshot {
	t.Helper()
	snap, err := s.Newer(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestSnapshotIsTheWholeCommit(t *testing.T) {
	repo := gittest.NewRepo(t)
	want := repo.Commit(map[string]string{"a/b/c.txt": "deep\n", "a/d.txt": "d\n"}, "second\n\nbody")
	for _, url := range []string{repo.URL, "file://" + repo.Bare} {
		snap := snapshot(t, source(t, url))
		if snap.Commit != want || snap.Subject != "second" || snap.Author != "Ann" {
			t.Errorf("%s: got %s %q by %q", url, snap.Commit, snap.Subject, snap.Author)
		}
		files, err := snap.Files("a")
		if err != nil || len(files) != 2 || files[0].Path != "a/b/c.txt" || files[0].Size != 5 {
			t.Errorf("%s: files %+v, %v", url, files, err)
		}
		content, err := snap.Read("a/b/c.txt")
		if err != nil || string(content) != "deep\n" {
			t.Errorf("%s: read %q, %v", url, content, err)
		}
		for _, missing := range []string{"nothing", "a/nothing", "a/d.txt/x"} {
			if _, err := snap.Read(missing); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: read %s: %v", url, missing, err)
			}
		}
	}
}

func TestABranchThatDidNotMoveIsNotFetched(t *testing.T) {
	repo := gittest.NewRepo(t)
	s := source(t, repo.URL)
	known := snapshot(t, s).Commit
	for range 3 {
		if snap, err := s.Newer(t.Context(), known); err != nil || snap != nil {
			t.Fatalf("got %v, %v", snap, err)
		}
	}
	if lists, fetches := repo.Seen(gittest.ListForFetch), repo.Seen(gittest.Fetch); lists != 4 || fetches != 1 {
		t.Errorf("%d lists and %d fetches for one commit and three polls", lists, fetches)
	}
}

// After histories that make incremental shallow fetches lose objects, the
// snapshot is whole.
func TestSnapshotAfterRewrittenHistory(t *testing.T) {
	repo := gittest.NewRepo(t)
	s := source(t, repo.URL)
	first := repo.Commit(map[string]string{"f": "1", "dir/g": "1"}, "one")
	snapshot(t, s)
	repo.Commit(map[string]string{"f": "2", "dir/g": "2"}, "two")
	snapshot(t, s)

	check := func(name, want string) {
		t.Helper()
		snap := snapshot(t, s)
		for _, file := range []string{"f", "dir/g"} {
			if content, err := snap.Read(file); err != nil || string(content) != want {
				t.Errorf("%s: %s is %q, %v; want %q", name, file, content, err, want)
			}
		}
		if _, err := snap.Files("."); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	repo.Git("reset", "-q", "--hard", first)
	repo.Git("push", "-q", "-f", "origin", "HEAD:main")
	check("force-push to an older commit", "1")
	repo.Commit(map[string]string{"f": "3", "dir/g": "3"}, "three")
	repo.Git("revert", "--no-edit", "HEAD")
	repo.Git("push", "-q", "origin", "HEAD:main")
	check("revert", "1")
	repo.Git("push", "-q", "origin", ":main")
	if _, err := s.Newer(t.Context(), ""); !errors.Is(err, ErrNoBranch) {
		t.Errorf("tip of a deleted branch: %v", err)
	}
	repo.Git("push", "-q", "origin", "HEAD:main")
	check("branch deleted and made again", "1")
}

// The server forgets a tip between its list and the fetch.
func TestABranchThatMovesBeforeTheFetchIsFollowed(t *testing.T) {
	repo := gittest.NewRepo(t)
	s := source(t, repo.URL)
	want := ""
	repo.Break(gittest.Fetch, func(http.ResponseWriter, *http.Request) bool {
		if want == "" {
			repo.Git("commit", "-q", "--amend", "-m", "rewritten")
			repo.Git("push", "-q", "-f", "origin", "HEAD:main")
			repo.Git("-C", repo.Bare, "gc", "-q", "--prune=now")
			want = strings.TrimSpace(repo.Git("rev-parse", "HEAD"))
		}
		return false
	})
	if snap, err := s.Newer(t.Context(), ""); err != nil || snap.Commit != want {
		t.Errorf("got %+v, %v; want %s", snap, err, want)
	}
}

// A password is asked for, read anew when it changes, and never told.
func TestCredentials(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.User, repo.Password = "deploy", "s3cret-one"
	dir := t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	auth := Auth{UsernameFile: write("user", "deploy"), PasswordFile: write("password", "s3cret-old\n")}
	s, err := NewSource(Options{URL: repo.URL, Branch: "main", Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Newer(t.Context(), "")
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "check the credential files") {
		t.Errorf("wrong password: %v", err)
	}
	write("password", "s3cret-one\n")
	if _, err := s.Newer(t.Context(), ""); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	for _, url := range []string{"https://user:s3cret@git.example/r", "https://git.example/r?token=s3cret", "ssh://git.example/r", "http://git.example/%zz?s3cret"} {
		if _, err := NewSource(Options{URL: url, Branch: "main"}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := NewSource(Options{URL: repo.URL, Branch: "main", Auth: Auth{CAFile: write("ca", "garbage")}}); err == nil {
		t.Error("a garbage CA bundle was accepted")
	}
}

func TestSchedule(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 1, 0, 0, time.UTC)
	cron, err := ParseSchedule(0, "*/5 * * * *")
	if err != nil || !cron.Next(now).Equal(now.Add(4*time.Minute)) {
		t.Errorf("%v %v", cron, err)
	}
	interval, err := ParseSchedule(10*time.Second, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if d := interval.Next(now).Sub(now); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("next after %s", d)
		}
	}
	for bad, why := range map[string]string{"every day": "found 2", "61 * * * *": "61", "0 0 30 2 *": `"0 0 30 2 *" never comes`,
		"CRON_TZ=Asia/Shanghai": "want five cron fields", "CRON_TZ=Shanghai 0 6 * * *": `want a time zone by its IANA name such as Europe/Berlin, got "Shanghai"`,
		"@every day": "want an interval", "@every 1ms": "at least a second"} {
		if _, err := ParseSchedule(0, bad); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Nights in which clocks are put forward and back have one poll, as others do.
func TestScheduleGoesByTheClocksOfAZone(t *testing.T) {
	for _, c := range []struct{ spec, after, want string }{
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"},
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"CRON_TZ=Europe/Berlin  @daily", "2026-10-25T00:30:00Z", "2026-10-25T23:00:00Z"},
	} {
		schedule, err := ParseSchedule(0, c.spec)
		if err != nil {
			t.Fatal(err)
		}
		after, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		if next := schedule.Next(after).UTC().Format(time.RFC3339); next != c.want {
			t.Errorf("%s after %s: %s, want %s", c.spec, c.after, next, c.want)
		}
	}
}
