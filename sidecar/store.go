package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

const (
	storeTimeout    = 15 * time.Second
	firstStorePause = time.Second
	maxStorePause   = time.Minute
)

// cluster is what the store and its ledger need of the Kubernetes API.
type cluster interface {
	Annotate(ctx context.Context, pod kube.Pod, annotations map[string]string) error
	Keys(ctx context.Context, m kube.ConfigMap) (map[string]string, error)
	SetKeys(ctx context.Context, m kube.ConfigMap, keys map[string]*string) error
	Owner(ctx context.Context, pod kube.Pod) (kube.Owner, error)
}

// ledger is how the ConfigMap tells of this pod's updates.
type ledger interface {
	// first is what this pod should begin with: what an earlier pod had.
	first(ctx context.Context) ([]ask, error)
	// write makes the ConfigMap tell what the page says.
	write(ctx context.Context, p page) error
}

// store tells the cluster what the book says: by the pod's annotations and by
// the ledger.
type store struct {
	api        cluster // nil: nothing is told
	pod        kube.Pod
	annotation string
	ledger     ledger
	book       *book
	again      chan struct{} // one slot: there is something to tell
	mu         sync.Mutex    // is held while telling: what is told last is the newest
}

// newStore is where the config wants results. Where that is nowhere, or the API
// is out of reach, results are in answers and in the book alone.
func newStore(ctx context.Context, c Storage, pod kube.Pod, api cluster, book *book) (*store, error) {
	s := &store{pod: pod, annotation: c.InKube.AnnotationKey, book: book, again: make(chan struct{}, 1)}
	switch {
	case c.Type != "InKube":
		logging.From(ctx).Warningf("results are not stored: storageConfig.type is %q, not InKube", c.Type)
		return s, nil
	case api == nil:
		return nil, errors.New("storageConfig.type InKube needs the Kubernetes API, but this is not a pod with a ServiceAccount token")
	case pod.Name == "" || pod.Namespace == "":
		return nil, errors.New("storageConfig.type InKube: set POD_NAME and POD_NAMESPACE from the pod's metadata")
	}
	s.api = api
	var err error
	s.ledger, err = c.InKube.ledger(pod, api)
	return s, err
}

// ledger is of the layout that the config names.
func (k InKube) ledger(pod kube.Pod, api cluster) (ledger, error) {
	switch k.Layout {
	case "", "Versions":
		return &versions{api: api, configMap: k.configMap(pod.Namespace), pod: pod}, nil
	case "Workloads":
		return &workloads{api: api, base: k.configMap(pod.Namespace), pod: pod}, nil
	}
	return nil, fmt.Errorf("inKube.layout: want Versions or Workloads, got %q", k.Layout)
}

// save tells the cluster the book's present page. What could not be told is
// told later by retry.
func (s *store) save(ctx context.Context) error {
	if s.api == nil {
		return s.told(s.book.snapshot())
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.book.snapshot()
	err := s.annotate(ctx, p)
	if err == nil {
		err = s.ledger.write(ctx, p)
	}
	if err != nil {
		s.later()
		return errors.Join(err, s.book.change(func(*page) error { return nil }))
	}
	return s.told(p)
}

func (s *store) annotate(ctx context.Context, p page) error {
	files, err := json.Marshal(api.ObservedFiles{Files: p.observed()})
	if err != nil {
		return err
	}
	annotations := map[string]string{api.FilesAnnotation: string(files)}
	if s.annotation != "" && p.Result != "" {
		annotations[s.annotation] = p.Result
	}
	return s.api.Annotate(ctx, s.pod, annotations)
}

// told notes in the book what the cluster now knows.
func (s *store) told(p page) error {
	return s.book.change(func(now *page) error {
		now.Applied = now.Applied[len(p.Applied):]
		now.Told = p.Ends
		return nil
	})
}

// first is what this pod should begin with by the ledger.
func (s *store) first(ctx context.Context) ([]ask, error) {
	if s.api == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.first(ctx)
}

// later asks retry to save.
func (s *store) later() {
	select {
	case s.again <- struct{}{}:
	default:
	}
}

// retry saves what could not be saved, until ctx ends.
func (s *store) retry(ctx context.Context) {
	pause := firstStorePause
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.again:
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, maxStorePause)
		if !s.book.snapshot().unstored() { // a later update has told it all
			pause = firstStorePause
			continue
		}
		if err := s.save(ctx); err != nil {
			logging.From(ctx).WithError(err).Warning("the result is still not stored; trying again")
			continue
		}
		pause = firstStorePause
	}
}

// sleep waits about d; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d/2 + rand.N(d)):
		return true
	}
}

// result is the existing sidecar's annotation.
func result(version string, err error) string {
	if err == nil {
		return version + ": Update success"
	}
	return fmt.Sprintf("%s: Update failed: %s", version, short(err))
}
