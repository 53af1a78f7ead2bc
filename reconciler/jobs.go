package reconciler

import (
	"context"
	"errors"
	"sync"
	"time"
)

// parallel is how many jobs run at once. They wait for others (the API server,
// sidecars, registries) nearly all of their time.
const parallel = 64

// jobs are what passes start and do not wait for: one at a time per key, as a
// slow sidecar or registry must not hold up anything but itself.
type jobs struct {
	retries *retries
	ended   func() // called after each
	slots   chan struct{}

	mu      sync.Mutex
	running map[string]*job
	all     sync.WaitGroup
}

// job is one wish being fulfilled.
type job struct {
	wish   string
	cancel context.CancelFunc
}

func newJobs(retries *retries, ended func()) *jobs {
	return &jobs{retries: retries, ended: ended, slots: make(chan struct{}, parallel), running: map[string]*job{}}
}

// errSuperseded is the end of a job whose key was wanted otherwise meanwhile.
var errSuperseded = errors.New("superseded")

// start runs f for key, unless the same wish runs already or failed a moment
// ago. A different wish for the key ends the one that runs; when it has ended,
// the next pass starts what is wanted then. It returns when that may be tried which
// failed, zero if it runs.
func (j *jobs) start(ctx context.Context, key, wish string, f func(context.Context) error) (due time.Time) {
	if due, err := j.retries.hold(key + " " + wish); err != nil {
		return due
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if old := j.running[key]; old != nil {
		if old.wish != wish {
			old.cancel()
		}
		return due
	}
	ctx, cancel := context.WithCancel(ctx)
	j.running[key] = &job{wish, cancel}
	j.all.Go(func() { j.run(ctx, cancel, key, wish, f) })
	return due
}

func (j *jobs) run(ctx context.Context, cancel context.CancelFunc, key, wish string, f func(context.Context) error) {
	defer cancel()
	err := errSuperseded
	select {
	case j.slots <- struct{}{}:
		err = f(ctx)
		<-j.slots
	case <-ctx.Done():
	}
	if ctx.Err() == nil {
		j.retries.note(key+" "+wish, err)
	}
	j.mu.Lock()
	delete(j.running, key)
	j.mu.Unlock()
	j.ended()
}

// underway is what is being done, by key.
func (j *jobs) underway() map[string]string {
	j.mu.Lock()
	defer j.mu.Unlock()
	wishes := map[string]string{}
	for key, running := range j.running {
		wishes[key] = running.wish
	}
	return wishes
}

// failed is why the last job for a key and wish failed, nil if it did not.
func (j *jobs) failed(key, wish string) error { return j.retries.last(key + " " + wish) }

// forget has the last failure for a key and wish mean nothing any more.
func (j *jobs) forget(key, wish string) { _ = j.retries.note(key+" "+wish, nil) }

// wait returns when all jobs have ended.
func (j *jobs) wait() { j.all.Wait() }
