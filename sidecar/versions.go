package sidecar

import (
	"context"
	"regexp"
	"strings"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// versions is the existing sidecar's ledger: one ConfigMap of all pods, with a
// key for each that lists versions and URLs.
type versions struct {
	api       cluster
	configMap kube.ConfigMap
	pod       kube.Pod
	history   history // nil: not read yet
}

// key is the pod's own.
func (v *versions) key() string { return v.pod.Namespace + "-" + v.pod.Name }

// first is what the history says, and makes sure that the pod has a key, as the
// existing sidecar does.
func (v *versions) first(ctx context.Context) ([]ask, error) {
	keys, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	v.prune(ctx, keys)
	if len(v.history) > 1 {
		return v.history.latest(), nil
	}
	return nil, v.set(ctx, v.history)
}

// write adds what was applied, if there is anything new.
func (v *versions) write(ctx context.Context, p page) error {
	if len(p.Applied) == 0 {
		return nil
	}
	if _, err := v.read(ctx); err != nil {
		return err
	}
	h := v.history
	for _, a := range p.Applied {
		h = h.with(a)
	}
	return v.set(ctx, h)
}

func (v *versions) set(ctx context.Context, h history) error {
	value := h.String()
	if err := v.api.SetKeys(ctx, v.configMap, map[string]*string{v.key(): &value}); err != nil {
		return err
	}
	v.history = h
	return nil
}

// read gets the history once, since this pod alone writes it, and with it the keys
// of all pods.
func (v *versions) read(ctx context.Context) (keys map[string]string, err error) {
	if v.history != nil {
		return nil, nil
	}
	if keys, err = v.api.Keys(ctx, v.configMap); err != nil {
		return nil, err
	}
	h, err := parseHistory(keys[v.key()])
	if err != nil { // somebody else's text: begin anew rather than never tell
		logging.From(ctx).WithError(err).Warningf("key %s of ConfigMap %s is not a record; it is begun anew", v.key(), v.configMap)
	}
	v.history = h
	return keys, nil
}

// prune takes away the keys of pods that are gone and whose names nobody gets
// again. The order is a map's, so that every start looks at others. That it fails is
// nobody's trouble: the next pod's start does it.
func (v *versions) prune(ctx context.Context, keys map[string]string) {
	gone := map[string]*string{}
	looked := 0
	for key := range keys {
		if key == v.key() || !onceOnly.MatchString(key) || onlyDigits.MatchString(key) || !strings.HasPrefix(keys[key], pluginName+":") {
			continue
		}
		if looked++; looked > maxPruned {
			break
		}
		if v.gone(ctx, key) {
			gone[key] = nil
		}
	}
	if len(gone) == 0 {
		return
	}
	if err := v.api.SetKeys(ctx, v.configMap, gone); err != nil {
		logging.From(ctx).WithError(err).Warning("the records of pods that are gone stay for now")
	}
}

// onceOnly is the end of a name that a ReplicaSet, DaemonSet or Job makes up for a
// pod; onlyDigits might be a number all the same. Others come back: what a
// StatefulSet's pod had must not be lost while it is away.
var (
	onceOnly   = regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{5}$`)
	onlyDigits = regexp.MustCompile(`-[0-9]+$`)
)

// gone tells whether no pod of that key is left. A key does not say where its
// namespace ends: in a ConfigMap of all namespaces it counts as gone only if it is
// in each that it may mean, as far as the sidecar may look.
func (v *versions) gone(ctx context.Context, key string) (gone bool) {
	for i, c := range key {
		pod := kube.Pod{Namespace: key[:i], Name: strings.TrimPrefix(key[i:], "-")}
		own := pod.Namespace == v.pod.Namespace
		if c != '-' || !own && v.configMap.Namespace == v.pod.Namespace {
			continue
		}
		if _, err := v.api.Owner(ctx, pod); !kube.NotFound(err) {
			return false
		}
		gone = true
	}
	return gone
}
