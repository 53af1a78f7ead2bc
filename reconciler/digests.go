package reconciler

import (
	"cmp"
	"context"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
)

// digestResolver asks registries; it is *registry.Resolver.
type digestResolver interface {
	Digest(ctx context.Context, image string) (string, error)
}

// digests are the answers of registries, asked for aside of the loop. An answer
// is kept for one HotPatch until it has been accepted, so that two containers,
// or two attempts, cannot see a tag move in between.
type digests struct {
	resolver digestResolver
	jobs     *jobs

	mu      sync.Mutex
	answers map[string]map[string]string // by HotPatch, by image
}

func newDigests(resolver digestResolver, jobs *jobs) *digests {
	return &digests{resolver: resolver, jobs: jobs, answers: map[string]map[string]string{}}
}

// get is the digest of an image for one HotPatch, or why the last attempt
// failed and when the next is due, or errWaiting.
func (d *digests) get(ctx context.Context, hotpatch, image string) (digest string, due time.Time, err error) {
	if digest = d.answer(hotpatch, image); digest != "" {
		return digest, due, nil
	}
	job := "image of " + hotpatch + " " + image
	due = d.jobs.start(ctx, job, "", func(ctx context.Context) error { return d.resolve(ctx, hotpatch, image) })
	failed := d.jobs.failed(job, "") // after that: whoever waits until it is due waits for nothing older
	return "", due, cmp.Or(failed, errWaiting)
}

func (d *digests) resolve(ctx context.Context, hotpatch, image string) error {
	digest, err := d.resolver.Digest(ctx, image)
	if err != nil {
		logging.From(ctx).WithField("hotpatch", hotpatch).WithError(err).Warn("image not resolved, it will be tried again")
		return err
	}
	logging.From(ctx).WithField("hotpatch", hotpatch).Infof("%s is %s", image, digest)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answers[hotpatch] == nil {
		d.answers[hotpatch] = map[string]string{}
	}
	d.answers[hotpatch][image] = digest
	return nil
}

func (d *digests) answer(hotpatch, image string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.answers[hotpatch][image]
}

// forget drops the answers for a HotPatch: from here on its record pins them.
func (d *digests) forget(hotpatch string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.answers, hotpatch)
}
