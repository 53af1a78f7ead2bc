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

// cluster is what the store needs of the Kubernetes API.
type cluster interface {
	Annotate(ctx context.Context, pod kube.Pod, annotations map[string]string) error
	Key(ctx context.Context, m kube.ConfigMap, key string) (string, error)
	SetKey(ctx context.Context, m kube.ConfigMap, key, value string) error
}

// store tells the cluster what the book says: the pod's annotations and its
// key of the ConfigMap.
type store struct {
	api        cluster // nil: nothing is told
	pod        kube.Pod
	annotation string
	configMap  kube.ConfigMap
	book       *book
	again      chan struct{} // one slot: there is something to tell

	mu      sync.Mutex
	history history // nil: not read yet
}

// newStore is where the config wants results. Where that is nowhere, or the API
// is out of reach, results are in answers and in the book alone.
func newStore(ctx context.Context, c Storage, pod kube.Pod, api cluster, book *book) (*store, error) {
	s := &store{pod: pod, annotation: c.InKube.AnnotationKey, configMap: c.InKube.configMap(pod.Namespace), book: book, again: make(chan struct{}, 1)}
	switch {
	case c.Type != "InKube":
		logging.From(ctx).Warningf("results are not stored: storageConfig.type is %q, not InKube", c.Type)
	case api == nil:
		return nil, errors.New("storageConfig.type InKube needs the Kubernetes API, but this is not a pod with a ServiceAccount token")
	case pod.Name == "" || pod.Namespace == "":
		return nil, errors.New("storageConfig.type InKube: set POD_NAME and POD_NAMESPACE from the pod's metadata")
	default:
		s.api = api
	}
	return s, nil
}

// key is the pod's in the ConfigMap, as the existing sidecar names it.
func (s *store) key() string { return s.pod.Namespace + "-" + s.pod.Name }

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
		err = s.record(ctx, p)
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

// record writes the pod's key of the ConfigMap, if there is anything new.
func (s *store) record(ctx context.Context, p page) error {
	if len(p.Applied) == 0 {
		return nil
	}
	if err := s.read(ctx); err != nil {
		return err
	}
	h := s.history
	for _, a := range p.Applied {
		h = h.with(a)
	}
	if err := s.api.SetKey(ctx, s.configMap, s.key(), h.String()); err != nil {
		return err
	}
	s.history = h
	return nil
}

// read gets the history once; this pod alone writes it.
func (s *store) read(ctx context.Context) error {
	if s.history != nil {
		return nil
	}
	value, err := s.api.Key(ctx, s.configMap, s.key())
	if err != nil {
		return err
	}
	h, err := parseHistory(value)
	if err != nil { // somebody else's text: begin anew rather than never tell
		logging.From(ctx).WithError(err).Warningf("key %s of ConfigMap %s is not a record; it is begun anew", s.key(), s.configMap)
	}
	s.history = h
	return nil
}

// told notes in the book what the cluster now knows.
func (s *store) told(p page) error {
	return s.book.change(func(now *page) error {
		now.Applied = now.Applied[len(p.Applied):]
		now.Told = p.Ends
		return nil
	})
}

// first is what the history says at the start of a pod, and makes sure that the
// pod has a key, as the existing sidecar does.
func (s *store) first(ctx context.Context) (history, error) {
	if s.api == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.read(ctx); err != nil {
		return nil, err
	}
	if len(s.history) > 1 {
		return s.history, nil
	}
	return s.history, s.api.SetKey(ctx, s.configMap, s.key(), s.history.String())
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
