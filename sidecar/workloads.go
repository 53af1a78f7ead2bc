package sidecar

import (
	"context"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// workloads is our own ledger: a key for each pod, named after its workload,
// with files by digest. A new pod begins with its own, if it had the same name,
// or with what its workload has got last.
type workloads struct {
	api     cluster
	base    kube.ConfigMap
	pod     kube.Pod
	owner   kube.Owner // its Kind is "" until it was asked for
	written string     // what the ConfigMap is known to say
}

func (l *workloads) write(ctx context.Context, p page) error {
	key, err := l.key(ctx)
	if err != nil {
		return err
	}
	value := recordOf(p).String()
	if value == l.written {
		return nil
	}
	if err := l.api.SetKeys(ctx, shard(l.base, shardOf(key)), map[string]*string{key: &value}); err != nil {
		return err
	}
	l.written = value
	return nil
}

// key is the pod's own.
func (l *workloads) key(ctx context.Context) (string, error) {
	if l.owner.Kind == "" {
		owner, err := l.api.Owner(ctx, l.pod)
		if err != nil {
			return "", err
		}
		l.owner = owner
	}
	return keyOf(l.owner, l.pod.Name), nil
}

func (l *workloads) first(ctx context.Context) ([]ask, error) {
	key, err := l.key(ctx)
	if err != nil {
		return nil, err
	}
	found := records{}
	for number := range shards {
		data, err := l.api.Keys(ctx, shard(l.base, number))
		if err != nil {
			return nil, err
		}
		found.add(data, prefixOf(l.owner))
	}
	own, ok := found[key]
	l.prune(ctx, key, found)
	if !ok {
		return found.newest(), nil
	}
	var asks []ask
	for _, f := range own.Files {
		asks = append(asks, f.ask())
	}
	return asks, nil
}

// prune takes away the keys of pods that are gone. That it fails is nobody's
// trouble: the next pod's start does it.
func (l *workloads) prune(ctx context.Context, own string, found records) {
	gone := map[int]map[string]*string{}
	for _, key := range found.dispensable(l.owner, time.Now()) {
		pod := kube.Pod{Namespace: l.pod.Namespace, Name: strings.TrimPrefix(key, prefixOf(l.owner))}
		if key == own {
			continue
		}
		if _, err := l.api.Owner(ctx, pod); !kube.NotFound(err) {
			continue
		}
		number := shardOf(key)
		if gone[number] == nil {
			gone[number] = map[string]*string{}
		}
		gone[number][key] = nil
	}
	for number, keys := range gone {
		if err := l.api.SetKeys(ctx, shard(l.base, number), keys); err != nil {
			logging.From(ctx).WithError(err).Warning("the records of pods that are gone stay for now")
		}
	}
}
