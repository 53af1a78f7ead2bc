package sidecar

import (
	"context"
	"fmt"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/tokens"
	"hotpatch.dev/hotpatch/sidecar/download"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// service is the sidecar's parts, put together.
type service struct {
	auth    authorizer
	keys    *keys // nil: plain HTTP
	updates *updater
	tally   *tally
	uid     string // of this pod, "" if not known
}

// assemble puts the parts together as the config says.
func assemble(ctx context.Context, o Options, c Config) (*service, error) {
	plugin, err := c.hotUpdate()
	if err != nil {
		return nil, err
	}
	api := reachAPI(ctx, o.ServiceAccountDir)
	s := &service{uid: o.Pod.UID}
	if s.auth, err = newAuthorizer(ctx, c, api); err != nil {
		return nil, err
	}
	if s.keys, err = newKeys(ctx, c.TLS); err != nil {
		return nil, err
	}
	if s.updates, err = newUpdater(ctx, o, c, plugin, api); err != nil {
		return nil, err
	}
	s.tally = newTally(s.auth, s.updates.book)
	return s, nil
}

func newUpdater(ctx context.Context, o Options, c Config, plugin HotUpdate, api kubeAPI) (*updater, error) {
	u := &updater{}
	var err error
	if u.process, err = plugin.teller(); err != nil {
		return nil, err
	}
	hold, err := c.Restore.hold()
	if err != nil {
		return nil, err
	}
	u.gate = newGate(hold)
	limits, err := c.Download.limits()
	if err != nil {
		return nil, err
	}
	u.client, u.byDigest = download.New(limits), limits.TokenFor
	u.maxBytes, u.limit = limits.Bytes, 2*limits.Timeout+overhead
	if u.share, err = openShare(ctx, plugin.dir(o.Dir)); err != nil {
		return nil, err
	}
	if u.book, err = openBook(u.share.root); err != nil {
		logging.From(ctx).WithError(err).Warning("earlier updates of this pod are not known")
	}
	u.store, err = newStore(ctx, plugin.StorageConfig, o.pod(), api, u.book)
	if err != nil {
		u.share.root.Close()
		return nil, fmt.Errorf("record of results: %w", err)
	}
	return u, nil
}

// kubeAPI is all that the sidecar asks of the Kubernetes API.
type kubeAPI interface {
	cluster
	tokens.Reviewer
}

// reachAPI is the API as a pod reaches it, nil outside one.
func reachAPI(ctx context.Context, dir string) kubeAPI {
	client, err := kube.InCluster(dir)
	if err != nil {
		logging.From(ctx).WithError(err).Warning("the Kubernetes API cannot be used")
		return nil
	}
	return client
}

// pod is this pod: as told, or as the kubelet mounted its namespace.
func (o Options) pod() kube.Pod {
	p := o.Pod
	if p.Namespace == "" {
		p.Namespace = kube.Namespace(o.ServiceAccountDir)
	}
	return p
}
