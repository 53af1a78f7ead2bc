package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// liveFor is the longest that an agent may work before it is killed; it starts
// with a look at every pod, and swaps several at once from then on.
const liveFor = 1500 * time.Millisecond

// killAgents kills one agent after another, and looks at every server while there
// is none.
func (s *soak) killAgents(ctx context.Context, kills int) error {
	last := 0
	for i := range kills {
		pid, err := nextAgent(ctx, last)
		if err != nil {
			return fmt.Errorf("after %d kills: %w", i, err)
		}
		time.Sleep(rand.N(liveFor))
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if err := s.oneView(ctx); err != nil {
			return fmt.Errorf("kill %d: %w", i+1, err)
		}
		if last = pid; (i+1)%25 == 0 {
			fmt.Printf("%d kills\n", i+1)
		}
	}
	return nil
}

// nextAgent waits for an agent that is not the last one.
func nextAgent(ctx context.Context, last int) (pid int, err error) {
	return pid, stage.Eventually(ctx, time.Minute, func(context.Context) error {
		if pid = stage.ProcessNamed("hotpatch-agent"); pid == 0 || pid == last {
			return errors.New("no agent runs")
		}
		return nil
	})
}

// oneView checks that commands executed in the servers see the images that their
// first processes are on.
func (s *soak) oneView(ctx context.Context) error {
	var looks sync.WaitGroup
	errs := make([]error, len(s.before))
	for i, life := range s.before {
		looks.Go(func() { _, errs[i] = s.SameView(ctx, life) })
	}
	looks.Wait()
	return errors.Join(errs...)
}

// work is what goes on while agents are killed.
type work struct {
	stop      context.CancelFunc
	done      sync.WaitGroup
	swaps     atomic.Int64
	collected int
	mu        sync.Mutex
	errs      []error
}

// start has every server swapped from one version to the other, over and over,
// and garbage collected.
func (s *soak) start(ctx context.Context) *work {
	until, stop := context.WithCancel(ctx)
	w := &work{stop: stop}
	for _, life := range s.before {
		w.done.Go(func() { w.note(s.swapOn(ctx, until, life.Pod, &w.swaps)) })
	}
	w.done.Go(func() {
		var err error
		w.collected, err = s.node.collect(until)
		w.note(err)
	})
	return w
}

func (w *work) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, err)
}

// end waits for the last swap of each server.
func (w *work) end() (swaps int64, collected int, err error) {
	w.stop()
	w.done.Wait()
	return w.swaps.Load(), w.collected, errors.Join(w.errs...)
}

// swapOn swaps one server until the second context ends, and then once more to
// the version that all end on. Now and then its program becomes the new one.
func (s *soak) swapOn(ctx, until context.Context, pod string, count *atomic.Int64) error {
	images := map[string]string{}
	for _, version := range versions {
		image, err := stage.GameServer(version)
		if err != nil {
			return err
		}
		images[version] = image
	}
	for i, last := 0, false; !last; i++ {
		version, reload := versions[i%2], (*api.Reload)(nil)
		if last = until.Err() != nil; last {
			version = versions[0]
		}
		if last || rand.N(4) == 0 {
			reload = &api.Reload{Signal: "SIGHUP"}
		}
		revision := fmt.Sprintf("soak-%d", i)
		if err := s.Tell(ctx, pod, revision, images[version], reload); err != nil {
			return err
		}
		if _, err := s.Until(pod, stage.On(revision)); err != nil {
			return err
		}
		count.Add(1)
	}
	return nil
}
