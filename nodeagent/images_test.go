package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/containerd/errdefs"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
)

// fakePuller pulls when told to, and counts.
type fakePuller struct {
	mu          sync.Mutex
	has         map[string]bool
	pulls       int
	now, atOnce int
	fail        error
	hold        chan struct{} // a pull ends when it can receive; nil: at once
}

func (p *fakePuller) Present(_ context.Context, ref string) (runtime.Image, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has[ref] {
		return runtime.Image{Ref: ref, Chain: "chain of " + ref}, nil
	}
	return runtime.Image{}, fmt.Errorf("find image %s: %w", ref, errdefs.ErrNotFound)
}

func (p *fakePuller) Pull(ctx context.Context, ref string) (runtime.Image, error) {
	p.begin()
	if p.hold != nil {
		<-p.hold
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now--
	if err := errors.Join(p.fail, ctx.Err()); err != nil {
		return runtime.Image{}, fmt.Errorf("pull %s: %w", ref, err)
	}
	if p.has == nil {
		p.has = map[string]bool{}
	}
	p.has[ref] = true
	return runtime.Image{Ref: ref}, nil
}

func (p *fakePuller) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pulls++
	p.now++
	p.atOnce = max(p.atOnce, p.now)
}

func TestManyWaitersShareOnePull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakePuller{hold: make(chan struct{})}
		images, waiters := newImages(p), sync.WaitGroup{}
		for range 20 {
			waiters.Go(func() {
				if image, err := images.ready(t.Context(), "r/game@sha256:1"); err != nil || image.Ref != "r/game@sha256:1" {
					t.Errorf("got %+v, %v", image, err)
				}
			})
		}
		synctest.Wait()
		close(p.hold)
		waiters.Wait()
		if p.pulls != 1 {
			t.Errorf("%d pulls", p.pulls)
		}
	})
}

func TestFewPullsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakePuller{hold: make(chan struct{})}
		images, waiters := newImages(p), sync.WaitGroup{}
		for i := range 10 {
			waiters.Go(func() {
				if _, err := images.ready(t.Context(), fmt.Sprintf("r/game@sha256:%d", i)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(p.hold)
		waiters.Wait()
		if p.pulls != 10 || p.atOnce != maxPulls {
			t.Errorf("%d pulls, %d at once; want 10 and %d", p.pulls, p.atOnce, maxPulls)
		}
	})
}

// The first waiter gives up; its pull is also the second one's.
func TestAWaiterThatGivesUpEndsNoPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakePuller{hold: make(chan struct{})}
		images, waiters := newImages(p), sync.WaitGroup{}
		ctx, cancel := context.WithCancel(t.Context())
		waiters.Go(func() {
			if _, err := images.ready(ctx, "ref"); !errors.Is(err, context.Canceled) {
				t.Errorf("the first got %v", err)
			}
		})
		synctest.Wait()
		waiters.Go(func() {
			if _, err := images.ready(t.Context(), "ref"); err != nil {
				t.Errorf("the second got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(p.hold)
		waiters.Wait()
		if p.pulls != 1 {
			t.Errorf("%d pulls", p.pulls)
		}
	})
}

func TestAFailedPullIsTriedAgain(t *testing.T) {
	p := &fakePuller{fail: errors.New("no such host")}
	images := newImages(p)
	wants := api.Prepare{Images: []string{"ref"}}
	if got := images.prepare(t.Context(), wants); got[0].State != api.StateFailed || got[0].Message != "pull ref: no such host" {
		t.Errorf("got %+v", got)
	}
	if absent := images.absent(t.Context(), []string{"ref"}); len(absent) != 1 {
		t.Errorf("absent are %v", absent)
	}
	p.fail = nil
	if got := images.prepare(t.Context(), wants); got[0] != (api.PreparedImage{Image: "ref", State: api.StateReady}) {
		t.Errorf("got %+v", got)
	}
	if absent := images.absent(t.Context(), []string{"ref"}); len(absent) != 0 || p.pulls != 2 {
		t.Errorf("absent are %v after %d pulls", absent, p.pulls)
	}
}
