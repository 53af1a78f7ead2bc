package sidecar

import (
	"context"
	"fmt"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/download"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// assemble puts the parts together as the config says.
func assemble(ctx context.Context, o Options, c Config) (*updater, authorizer, error) {
	plugin, err := c.hotUpdate()
	if err != nil {
		return nil, nil, err
	}
	api := reachAPI(ctx, o.ServiceAccountDir)
	auth, err := newAuthorizer(ctx, c.Auth, api)
	if err != nil {
		return nil, nil, err
	}
	u := &updater{}
	if u.signal, err = plugin.signaller(); err != nil {
		return nil, nil, err
	}
	limits, err := c.Download.limits()
	if err != nil {
		return nil, nil, err
	}
	u.client, u.limit = download.New(limits), limits.Timeout+overhead
	if u.share, err = openShare(ctx, plugin.dir(o.Dir)); err != nil {
		return nil, nil, err
	}
	if u.book, err = openBook(u.share.root); err != nil {
		logging.From(ctx).WithError(err).Warning("earlier updates of this pod are not known")
	}
	u.store, err = newStore(ctx, plugin.StorageConfig, o.pod(), api, u.book)
	if err != nil {
		u.share.root.Close()
		return nil, nil, fmt.Errorf("record of results: %w", err)
	}
	return u, auth, nil
}

// kubeAPI is all that the sidecar asks of the Kubernetes API.
type kubeAPI interface {
	cluster
	reviewer
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
