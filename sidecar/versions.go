package sidecar

import (
	"context"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// versions is the existing sidecar's ledger: one ConfigMap of all pods, with a
// key for each that lists versions and URLs.
type versions struct {
	api       cluster
	configMap kube.ConfigMap
	key       string  // "<namespace>-<pod>"
	history   history // nil: not read yet
}

// first is what the history says, and makes sure that the pod has a key, as the
// existing sidecar does.
func (v *versions) first(ctx context.Context) ([]ask, error) {
	if err := v.read(ctx); err != nil {
		return nil, err
	}
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
	if err := v.read(ctx); err != nil {
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
	if err := v.api.SetKeys(ctx, v.configMap, map[string]*string{v.key: &value}); err != nil {
		return err
	}
	v.history = h
	return nil
}

// read gets the history once; this pod alone writes it.
func (v *versions) read(ctx context.Context) error {
	if v.history != nil {
		return nil
	}
	keys, err := v.api.Keys(ctx, v.configMap)
	if err != nil {
		return err
	}
	h, err := parseHistory(keys[v.key])
	if err != nil { // somebody else's text: begin anew rather than never tell
		logging.From(ctx).WithError(err).Warningf("key %s of ConfigMap %s is not a record; it is begun anew", v.key, v.configMap)
	}
	v.history = h
	return nil
}
