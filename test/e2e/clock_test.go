package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// As the clock strikes, one window opens and another closes: whoever waited for the one
// begins, and nobody pushes again; and while servers have their turn one after the other,
// who was told is there, and nobody else begins, though it would be his turn.
// (It waits up to a minute and a half, and begins before the other parallel tests.)
func TestWindowsOpenAndCloseByTheClock(t *testing.T) {
	t.Parallel()
	s := open(t)
	pier, dock := s.hall("pier"), s.hall("dock")
	before, turns := slices.Concat(pier.lives(), dock.lives()), dock.watch()
	strikes := time.Now().UTC().Add(25 * time.Second).Truncate(time.Minute).Add(time.Minute)
	opened := strikes.Add(-2 * time.Minute)
	pier.policy("maxConcurrent: 4", "maxUnavailable: 4", windowOf(strikes, "1m"))
	// Three have their turn before the window closes; the fourth's is just after that.
	each := time.Until(strikes).Truncate(time.Second)/3 + time.Second
	dock.policy("order: [ordinal-ascending]", "maxConcurrent: 1", fmt.Sprintf("minReadySeconds: %.0f", each.Seconds()), windowOf(opened, "2m"))
	pier.edit("game-server:v1", "game-server:v2")
	dock.edit("game-server:v1", "game-server:v2")
	s.push("Release v2 to the dock now, and to the pier when its window opens")
	pier.held(nextOpens(strikes), 4, limit)

	next := nextOpens(opened.Add(time.Hour))
	n := dock.held(next, 4, time.Until(strikes)+limit)
	if n < 1 || n > 3 {
		t.Fatalf("%d of 4 servers changed in a time that has place for three", n)
	}
	pier.is(api.PhaseComplete, 4, 4, "")
	time.Sleep(time.Until(dock.changed()[n-1].Add(each + time.Second)))
	dock.doors(3, false) // has the reconciler look, and who is not Ready begins before others
	if now := dock.held(next, 3, limit); now != n {
		t.Errorf("%d of 4 servers have changed, and %d had when the window closed", now, n)
	}
	turns.were(1, strings.Join([]string{"0", "1", "2"}[:n], " "))
	for i, when := range pier.changed() {
		if late := when.Sub(strikes); late < 0 || late > 10*time.Second {
			t.Errorf("server %d of the pier changed %s after its window opened", i, late)
		}
	}
	for i, when := range dock.changed()[:n] {
		if late := when.Sub(strikes); late > limit/2 {
			t.Errorf("server %d of the dock changed %s after its window closed", i, late)
		}
	}
	s.must(stage.SameLives(before, slices.Concat(pier.lives(), dock.lives())))
}

// windowOf opens at the same minute of each hour.
func windowOf(opens time.Time, duration string) string {
	return fmt.Sprintf(`window: {schedule: "%d * * * *", duration: %s}`, opens.Minute(), duration)
}

// nextOpens is what the record says of a window that is closed until then.
func nextOpens(when time.Time) string {
	return when.Format("outside of its window; the next opens Mon 2006-01-02 15:04 UTC")
}

// held waits until the record says why a guest is, and that so many pods are Ready; and
// says how many have changed.
func (g *guest) held(why string, ready int, limit time.Duration) (updated int) {
	g.Helper()
	g.must(stage.Eventually(g.ctx, limit, func(ctx context.Context) error {
		status, err := g.repo.Status(ctx, g.name)
		if err == nil && (status.Phase != api.PhasePaused || status.Message != why || status.Counts.Ready != ready) {
			err = fmt.Errorf("%s is %s with %d Ready: %s; want Paused with %d: %s", g.name, status.Phase, status.Counts.Ready, status.Message, ready, why)
		}
		updated = status.Counts.Updated
		return err
	}))
	return updated
}
