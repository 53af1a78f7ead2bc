package reconciler

import (
	"errors"
	"testing"
	"time"
)

func TestFailureIsHeldBackAndThenWakes(t *testing.T) {
	woken := make(chan struct{}, 1)
	r := newRetries(func() { woken <- struct{}{} })
	refused := errors.New("refused")

	r.note("pod a to v2", refused)

	if due, err := r.hold("pod a to v2"); !errors.Is(err, refused) || !due.After(time.Now()) {
		t.Errorf("held until %s with %v, want the last error", due, err)
	}
	if _, err := r.hold("pod a to v3"); err != nil {
		t.Errorf("a new wish is held back: %v", err)
	}
	select {
	case <-woken:
	case <-time.After(2 * firstRetry):
		t.Fatal("nothing woke when the failure was due")
	}
	if _, err := r.hold("pod a to v2"); err != nil {
		t.Errorf("still held when due: %v", err)
	}
	if err := r.last("pod a to v2"); !errors.Is(err, refused) {
		t.Errorf("forgot why it failed: %v", err)
	}
	r.note("pod a to v2", nil)
	if err := r.last("pod a to v2"); err != nil {
		t.Errorf("remembers a failure after success: %v", err)
	}
}

func TestWaitsGrowAndEnd(t *testing.T) {
	for times := range 70 {
		wait := backoff(times)
		if wait < firstRetry*8/10 || wait > lastRetry*12/10 {
			t.Errorf("failure %d waits %s", times, wait)
		}
	}
	if backoff(4) < 4*firstRetry {
		t.Errorf("the fifth wait is %s, want it to grow", backoff(4))
	}
}

// What fails in the moment in which something else is due takes nothing from that.
func TestAFailureLeavesAnothersTurnAlone(t *testing.T) {
	woken := make(chan struct{}, 1)
	r := newRetries(func() { woken <- struct{}{} })
	r.failed["pod a to v2"] = failure{err: errors.New("refused"), times: 1, due: time.Now()}
	r.backoff = func(int) time.Duration { return time.Hour }
	r.note("pod b to v2", errors.New("refused"))
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told that pod a was due")
	}
}
