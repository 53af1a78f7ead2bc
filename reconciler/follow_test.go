package reconciler

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// clocked is a server on which nothing is new; it notes when it is asked.
type clocked struct {
	polls []time.Time
	fails bool
}

func (c *clocked) Newer(context.Context, string) (*gitsource.Snapshot, error) {
	c.polls = append(c.polls, time.Now())
	if c.fails {
		return nil, errors.New("the server is away")
	}
	return nil, nil
}

// pollsWithin is when a source is polled by a schedule for a while, on a clock that
// goes on when everybody waits. It starts at midnight UTC, 2000-01-01, a Saturday.
func pollsWithin(t *testing.T, d, interval time.Duration, spec string, fails bool) []time.Time {
	t.Helper()
	schedule, err := gitsource.ParseSchedule(interval, spec)
	if err != nil {
		t.Fatal(err)
	}
	server := &clocked{fails: fails}
	synctest.Test(t, func(t *testing.T) { runFor(t, d, newFollower(server, schedule)) })
	return server.polls
}

func newFollower(server *clocked, schedule gitsource.Schedule) *follower {
	return &follower{source: server, schedule: schedule, metrics: newMetrics(), poll: newTrigger(), found: func() {}, polled: func() {},
		newest: &rendered{snapshot: &gitsource.Snapshot{}}}
}

// runFor has a reconciler follow for a while, and end.
func runFor(t *testing.T, d time.Duration, f *follower) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	f.follow(ctx)
}

func gaps(polls []time.Time) (between []time.Duration) {
	for i := 1; i < len(polls); i++ {
		between = append(between, polls[i].Sub(polls[i-1]))
	}
	return between
}

// Many clusters with the same interval drift apart.
func TestIntervalsJitter(t *testing.T) {
	polls := pollsWithin(t, 24*time.Hour, 30*time.Second, "", false)
	between := gaps(polls)
	if least, most := slices.Min(between), slices.Max(between); least < 27*time.Second || most > 33*time.Second || most-least < 4*time.Second {
		t.Errorf("from %s to %s between two polls", least, most)
	}
	if n := len(polls); n < 2800 || n > 2960 {
		t.Errorf("%d polls in a day, want some 2880", n)
	}
}

func TestCronSpecsKeepTheClock(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*60*60)
	for spec, want := range map[string]struct {
		polls int
		at    func(time.Time) bool
	}{
		"*/5 * * * *":                      {24 * 12 * 7, func(p time.Time) bool { return p.UTC().Minute()%5 == 0 }},
		"CRON_TZ=UTC 0 6 * * *":            {7, func(p time.Time) bool { return p.UTC().Hour() == 6 }},
		"CRON_TZ=Asia/Shanghai 30 5 * * 1": {1, func(p time.Time) bool { p = p.In(shanghai); return p.Weekday() == time.Monday && p.Hour() == 5 }},
		"@hourly":                          {24 * 7, func(p time.Time) bool { return p.UTC().Minute() == 0 }},
	} {
		polls := pollsWithin(t, 7*24*time.Hour-time.Second, 0, spec, false)[1:] // the first is at the start
		if want.polls == 24*12*7 || want.polls == 24*7 {
			want.polls-- // that of midnight, at which it started
		}
		if len(polls) != want.polls {
			t.Errorf("%s: %d polls in a week, want %d", spec, len(polls), want.polls)
		}
		for _, p := range polls {
			if !want.at(p) || p.Second() != 0 {
				t.Errorf("%s: polled at %s", spec, p)
			}
		}
	}
}

// What a reconciler that was down has missed is made up for as one starts, once; nobody
// is asked to remember it. The schedule goes on as ever, also for one that was told to
// poll meanwhile.
func TestMissedPollsAreMadeUpForAtTheStartOnce(t *testing.T) {
	schedule, err := gitsource.ParseSchedule(0, "CRON_TZ=UTC 0 6 * * *")
	if err != nil {
		t.Fatal(err)
	}
	server := &clocked{}
	synctest.Test(t, func(t *testing.T) {
		runFor(t, 8*time.Hour, newFollower(server, schedule))
		time.Sleep(3*24*time.Hour + 30*time.Minute)
		f := newFollower(server, schedule)
		time.AfterFunc(2*time.Hour, func() { f.poll.fire(newCommit) }) // a webhook, SIGHUP, hotpatch sync
		runFor(t, 48*time.Hour, f)
	})
	var got []string
	for _, p := range server.polls {
		got = append(got, p.UTC().Format("2 15:04"))
	}
	if want := []string{"1 00:00", "1 06:00", "4 08:30", "4 10:30", "5 06:00", "6 06:00"}; !slices.Equal(got, want) {
		t.Errorf("polled at %q, want %q", got, want)
	}
}

// Berlin's clocks are put forward on March 26, 2000, at 02:00, and back on October 29.
func TestEachNightHasOnePoll(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	nights := map[string][]string{}
	for _, p := range pollsWithin(t, 366*24*time.Hour, 0, "CRON_TZ=Europe/Berlin 30 2 * * *", false)[1:] {
		p = p.In(berlin)
		nights[p.Format(time.DateOnly)] = append(nights[p.Format(time.DateOnly)], p.Format("15:04Z07"))
	}
	for night, polls := range nights {
		if len(polls) != 1 {
			t.Errorf("%s: polled at %q", night, polls)
		}
	}
	if forward, back := nights["2000-03-26"], nights["2000-10-29"]; len(nights) != 366 || !slices.Equal(forward, []string{"03:30+02"}) || !slices.Equal(back, []string{"02:30+02"}) {
		t.Errorf("%d nights; clocks put forward: %q, back: %q", len(nights), forward, back)
	}
}

// A server that is away is asked soon again, then more and more rarely, but never
// more rarely than usual.
func TestFailedPollsAreRepeatedSooner(t *testing.T) {
	between := gaps(pollsWithin(t, time.Hour, 10*time.Minute, "", true))
	if between[0] > 2*time.Second || between[3] < between[0] || slices.Max(between) > lastRetry*6/5 {
		t.Errorf("between polls: %v", between)
	}
	often := gaps(pollsWithin(t, 10*time.Minute, 5*time.Second, "", true))
	if slices.Max(often) > 5500*time.Millisecond {
		t.Errorf("with a short interval: %v", often)
	}
}

// A commit that cannot be read as it was written to the disk is not followed in part:
// what was in force stays, and the next poll has it whole.
func TestADamagedCommitIsNotFollowed(t *testing.T) {
	repo, dir := gittest.NewRepo(t), t.TempDir()
	wish := func(version string) string {
		return repo.Commit(map[string]string{"large.bin": strings.Repeat("large\n", 2<<20), "game.yaml": `apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata: {name: game, namespace: default}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: game}
  files:
  - {path: large.bin, version: ` + version + `, from: large.bin}
`}, version)
	}
	first := wish("v1")
	source, err := gitsource.NewSource(gitsource.Options{URL: repo.URL, Branch: "main", CacheDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	changes := 0
	f := &follower{source: source, path: ".", metrics: newMetrics(), found: func() { changes++ }, polled: func() {}}
	follows := func(what, commit string, found int) {
		t.Helper()
		now := f.get()
		if now.snapshot.Commit != commit || len(now.Items) != 1 || len(now.Errors) != 0 || changes != found {
			t.Errorf("%s: commit %.10s, %d items, %v, changed %d times", what, now.snapshot.Commit, len(now.Items), now.Errors, changes)
		}
	}
	if err := f.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	follows("at first", first, 1)
	truncateOpen(t, dir)
	second := wish("v2")
	if err := f.once(t.Context()); err == nil || !strings.Contains(err.Error(), "fetched anew") {
		t.Errorf("damaged: %v", err)
	}
	follows("damaged", first, 1)
	if err := f.once(t.Context()); err != nil {
		t.Fatal(err)
	}
	follows("whole again", second, 2)
}

// ending is a source that is read as its reader is told to end.
type ending struct {
	source
	end context.CancelFunc
}

func (e ending) Newer(ctx context.Context, known string) (*gitsource.Snapshot, error) {
	defer e.end()
	return e.source.Newer(ctx, known)
}

// What was rendered in part as the process ended is not what Git asks for.
func TestACommitIsNotFollowedHalfRendered(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(map[string]string{"a.yaml": "{", "b.yaml": "{"}, "two that cannot be read")
	source, err := gitsource.NewSource(gitsource.Options{URL: repo.URL, Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{source: ending{source, cancel}, path: ".", metrics: newMetrics(), found: func() {}, polled: func() {}}
	if err := f.once(ctx); !errors.Is(err, context.Canceled) || f.get() != nil {
		t.Errorf("%v, %+v", err, f.get())
	}
}

// truncateOpen cuts short every file of a directory that this process has open.
func truncateOpen(t *testing.T, dir string) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	cut := 0
	for _, fd := range all {
		if to, _ := os.Readlink(fd); strings.HasPrefix(to, dir) {
			if err := os.Truncate(fd, 1); err != nil {
				t.Fatal(err)
			}
			cut++
		}
	}
	if cut == 0 {
		t.Fatal("nothing is on the disk")
	}
}
