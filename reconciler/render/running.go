package render

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"hotpatch.dev/hotpatch/api"
)

// buildTime is how long a root is waited for. The limits have all of them built in a
// fraction of it, unless the machine has other things to do.
const buildTime = 30 * time.Second

// slots are for builds that run: one, and beside it one more while one that was given
// up still runs. kustomize cannot be interrupted.
var slots = make(chan struct{}, 2)

// schema is read once. It is all that builds of one process have in common, and
// nobody writes it afterwards: a kustomization with an openapi of its own is refused.
var schema = sync.OnceFunc(func() { openapi.Schema() })

// running is a build that runs or has ended.
type running struct {
	done  chan struct{}
	built resmap.ResMap
	err   error
}

// begin loads a root and has its build begin.
func (r *rendering) begin(ctx context.Context, root string, build func(filesys.FileSystem, string) (resmap.ResMap, error)) (*running, error) {
	l := newLoader(ctx, r.repo)
	dir, err := l.root(root)
	if err != nil {
		return nil, err
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b := &running{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		defer func() { <-slots }()
		b.built, b.err = build(l.disk, path.Join("/", dir))
	}()
	return b, nil
}

// ends tells whether a build ends before ctx.
func (b *running) ends(ctx context.Context) bool {
	select {
	case <-b.done:
		return true
	case <-ctx.Done():
		return b.ended()
	}
}

func (b *running) ended() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// result is what a build that has ended has made.
func (b *running) result(root string) (resmap.ResMap, error) {
	if b.err != nil {
		return nil, &api.Error{File: root, Reason: strings.ReplaceAll(b.err.Error(), "'/", "'")}
	}
	return b.built, nil
}

// kustomize builds, and turns a panic into an error.
func kustomize(disk filesys.FileSystem, dir string) (built resmap.ResMap, err error) {
	schema()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("kustomize gave up: %v", p)
		}
	}()
	return krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, dir)
}

// tooSlow is what is wrong with a root that was given up.
func tooSlow(root string, begun bool) error {
	reason := "it could not begin to be built within %s, since others have not ended; it is tried again at the next poll"
	if begun {
		reason = "its build takes longer than %s; it goes on, and nothing else is built here until it ends; have several kustomizations build these objects"
	}
	return &api.Error{File: root, Reason: fmt.Sprintf(reason, buildTime)}
}
