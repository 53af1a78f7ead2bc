package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// A window opens by the clock, and closes by it while servers have their turn one after
// the other: who was told is there, and nobody else begins, though it would be his turn.
// (It takes a window's shortest time, and begins before the other parallel tests.)
func TestWindowOpensAndClosesByTheClock(t *testing.T) {
	t.Parallel()
	s := open(t)
	dock := s.hall("dock")
	before, turns := dock.lives(), dock.watch()
	opens := time.Now().UTC().Add(20 * time.Second).Truncate(time.Minute).Add(time.Minute)
	// Three could have their turn within the minute; the fourth's is when it is over.
	const each = 21 * time.Second
	dock.policy("order: [ordinal-ascending]", "maxConcurrent: 1", fmt.Sprintf("minReadySeconds: %.0f", each.Seconds()),
		fmt.Sprintf(`window: {schedule: "%d * * * *", duration: 1m}`, opens.Minute()))
	dock.edit("game-server:v1", "game-server:v2")
	s.push("Release v2 in the next minute but this")
	const outside = "outside of its window; the next opens "
	dock.is(api.PhasePaused, 0, 4, outside+opens.Format("Mon 2006-01-02 15:04 UTC"))

	again := outside + opens.Add(time.Hour).Format("Mon 2006-01-02 15:04 UTC")
	n := dock.held(again, 4, time.Until(opens)+time.Minute+limit)
	if n < 1 || n > 3 {
		t.Fatalf("%d of 4 servers changed in a minute that has place for three", n)
	}
	last := dock.changed()[n-1]
	s.must(stage.Eventually(s.ctx, limit, func(context.Context) error {
		if turn := last.Add(each + time.Second); time.Now().Before(turn) {
			return fmt.Errorf("the next would have his turn at %s", turn)
		}
		return nil
	}))
	dock.doors(3, false) // has the reconciler look, and who is not Ready begins before others
	if now := dock.held(again, 3, limit); now != n {
		t.Errorf("%d of 4 servers have changed, and %d had when the window closed", now, n)
	}
	turns.were(1, strings.Join([]string{"0", "1", "2"}[:n], " "))
	for i, when := range dock.changed()[:n] {
		if when.Before(opens) || when.After(opens.Add(time.Minute+limit/2)) {
			t.Errorf("server %d changed at %s, and the window was the minute from %s", i, when, opens)
		}
	}
	s.must(stage.SameLives(before, dock.lives()))
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
