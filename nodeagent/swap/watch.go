package swap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// ErrStuck says that a step waits for something that may never come.
var ErrStuck = errors.New("a mount of the container, or the server behind it, does not answer")

// answerLimit is how long a step may take beside stopping processes. Those that
// may take longer end with their context.
const answerLimit = 6 * time.Second

// progress is the step that a swap is at, and since when.
type progress struct {
	stepError
	since time.Time
}

// watched runs f on a thread of its own, but waits no longer than any step may
// take: the kernel asks servers for what is looked up, and a thread that waits
// for one cannot be called back. It keeps the container for itself, so that there
// is one at most; once it is answered it takes back what it did.
func (s *swap) watched(ctx context.Context, f func(context.Context) error) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began, ended := time.Now(), make(chan error, 1)
	s.enters("claim", false)
	go func() {
		ended <- mount.Thread(func() error {
			defer s.close()
			return f(ctx)
		})
	}()
	tick := time.NewTicker(answerLimit / 8)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			s.result.Total = time.Since(began)
			return s.result, err
		case <-tick.C:
			if err := s.stuck(); err != nil {
				cancel(err)
				return Result{Total: time.Since(began)}, err // the thread may still write to its own
			}
		}
	}
}

func (s *swap) enters(step string, committed bool) {
	s.progress.Store(&progress{stepError{step: step, committed: committed}, time.Now()})
}

func (s *swap) stuck() error {
	at, limit := *s.progress.Load(), answerLimit+2*s.StopLimit
	if at.step == "carry" || at.step == "hold" || time.Since(at.since) < limit {
		return nil
	}
	at.err = fmt.Errorf("%w, for %s", ErrStuck, limit)
	return &at.stepError
}
