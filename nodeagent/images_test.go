package nodeagent

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/containerd/errdefs"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

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
	configs     map[string]runtime.Config
	auth        *cri.AuthConfig // of the last pull
}

func (p *fakePuller) Present(_ context.Context, ref string) (runtime.Image, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has[ref] {
		return runtime.Image{Ref: ref, Chain: "chain of " + ref, Config: p.configs[ref]}, nil
	}
	return runtime.Image{}, fmt.Errorf("find image %s: %w", ref, errdefs.ErrNotFound)
}

func (p *fakePuller) Pull(ctx context.Context, ref string, auth *cri.AuthConfig) (runtime.Image, error) {
	p.begin(auth)
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
	return runtime.Image{Ref: ref, Config: p.configs[ref]}, nil
}

func (p *fakePuller) Config(_ context.Context, name string) (runtime.Config, error) {
	if name == "" || p.configs == nil {
		return runtime.Config{}, nil
	}
	config, ok := p.configs[name]
	if !ok {
		return config, fmt.Errorf("find image %s: %w", name, errdefs.ErrNotFound)
	}
	return config, nil
}

func (p *fakePuller) begin(auth *cri.AuthConfig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.auth = auth
	p.pulls++
	p.now++
	p.atOnce = max(p.atOnce, p.now)
}

func TestManyWaitersShareOnePull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &fakePuller{hold: make(chan struct{})}
		images, waiters := newImages(p, newMetrics()), sync.WaitGroup{}
		for range 20 {
			waiters.Go(func() {
				if image, err := images.ready(t.Context(), newPod("game-1", nil), "r/game@sha256:1"); err != nil || image.Ref != "r/game@sha256:1" {
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
		images, waiters := newImages(p, newMetrics()), sync.WaitGroup{}
		for i := range 10 {
			waiters.Go(func() {
				if _, err := images.ready(t.Context(), newPod("game-1", nil), fmt.Sprintf("r/game@sha256:%d", i)); err != nil {
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
		images, waiters := newImages(p, newMetrics()), sync.WaitGroup{}
		ctx, cancel := context.WithCancel(t.Context())
		waiters.Go(func() {
			if _, err := images.ready(ctx, newPod("game-1", nil), "ref"); !errors.Is(err, context.Canceled) {
				t.Errorf("the first got %v", err)
			}
		})
		synctest.Wait()
		waiters.Go(func() {
			if _, err := images.ready(t.Context(), newPod("game-1", nil), "ref"); err != nil {
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
	images := newImages(p, newMetrics())
	wants, pod := api.Prepare{Containers: []api.DesiredContainer{{Name: "main", Image: "ref"}}}, newPod("game-1", nil)
	if got := images.prepare(t.Context(), pod, wants); got[0].State != api.StateFailed || got[0].Message != "pull ref: no such host" {
		t.Errorf("got %+v", got)
	}
	if absent := images.absent(t.Context(), wants.Containers); len(absent) != 1 {
		t.Errorf("absent are %v", absent)
	}
	p.fail = nil
	if got := images.prepare(t.Context(), pod, wants); got[0] != (api.PreparedImage{Container: "main", Image: "ref", State: api.StateReady}) {
		t.Errorf("got %+v", got)
	}
	if absent := images.absent(t.Context(), wants.Containers); len(absent) != 0 || p.pulls != 2 {
		t.Errorf("absent are %v after %d pulls", absent, p.pulls)
	}
}

// Before anything is touched: while the image is being prepared.
func TestWhatWillNotTakeEffectIsKnownBeforehand(t *testing.T) {
	config := func(arch string, env ...string) runtime.Config {
		return runtime.Config{Platform: v1.Platform{OS: "linux", Architecture: arch}, ImageConfig: v1.ImageConfig{Env: env}}
	}
	p := &fakePuller{configs: map[string]runtime.Config{"r/game@sha256:own": config(goruntime.GOARCH, "A=1"),
		"same": config(goruntime.GOARCH, "A=1"), "other": config(goruntime.GOARCH, "A=2"), "foreign": config("s390x", "A=1")}}
	images, pod, unknown := newImages(p, newMetrics()), newPod("game-1", nil), newPod("game-1", nil)
	unknown.Status.ContainerStatuses[0].ImageID = "removed"
	for _, c := range []struct {
		pod              *corev1.Pod
		image            string
		policy           api.ImageConfigPolicy
		ignored, failure string
	}{
		{pod, "same", api.ImageConfigRefuse, "", ""},
		{pod, "other", "", "environment A", ""},
		{pod, "other", api.ImageConfigRefuse, "environment A", "imageConfig is Refuse, and the running container would not take the image's environment A; nothing was changed"},
		{pod, "foreign", "", "", "image foreign cannot run here, so nothing was changed: it was built for linux/s390x"},
		{unknown, "same", "", "configuration (that of its own image is not on the node any more, to compare)", ""},
		{unknown, "same", api.ImageConfigRefuse, "configuration (that of its own", "imageConfig is Refuse"},
	} {
		got := images.prepare(t.Context(), c.pod, api.Prepare{Containers: []api.DesiredContainer{{Name: "main", Image: c.image, ImageConfig: c.policy}}})[0]
		if !strings.HasPrefix(got.Ignored, c.ignored) || (got.Ignored == "") != (c.ignored == "") || !strings.HasPrefix(got.Message, c.failure) || (got.State == api.StateFailed) != (c.failure != "") {
			t.Errorf("%s %s: got %+v", c.image, c.policy, got)
		}
	}
}
