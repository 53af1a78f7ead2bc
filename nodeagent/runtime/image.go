package runtime

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// PullLimit bounds one pull.
const PullLimit = 10 * time.Minute

// Image is an image unpacked on this node.
type Image struct {
	Ref   string // by digest
	Chain string // of its layers: the parent of a root made of it
}

// Pull has an image (by digest) on this node and unpacked. It is pulled through
// the node's own CRI image service, which knows the node's registry mirrors.
func (r *Runtime) Pull(ctx context.Context, ref string) (Image, error) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, namespace), PullLimit)
	defer cancel()
	if !strings.Contains(ref, "@sha256:") {
		return Image{}, fmt.Errorf("image %q is not given by digest", ref)
	}
	if image, err := r.unpacked(ctx, ref); err == nil {
		return image, nil
	}
	if _, err := r.images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}}); err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", ref, err)
	}
	return r.unpacked(ctx, ref)
}

// Present is the image if it is on this node and unpacked; an error that is
// errdefs.ErrNotFound if not.
func (r *Runtime) Present(ctx context.Context, ref string) (Image, error) {
	return r.unpacked(namespaces.WithNamespace(ctx, namespace), ref)
}

func (r *Runtime) unpacked(ctx context.Context, ref string) (Image, error) {
	if chain, ok := r.chains.of(ref); ok {
		if _, err := r.client.SnapshotService(overlayfs).Stat(ctx, chain); err == nil {
			return Image{Ref: ref, Chain: chain}, nil
		}
	}
	image, err := r.client.GetImage(ctx, ref)
	if err != nil {
		return Image{}, fmt.Errorf("find image %s: %w", ref, err)
	}
	layers, err := image.RootFS(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("read the layers of %s: %w", ref, err)
	}
	chain := identity.ChainID(layers).String()
	r.chains.remember(ref, chain)
	if _, err := r.client.SnapshotService(overlayfs).Stat(ctx, chain); err == nil {
		return Image{Ref: ref, Chain: chain}, nil
	} else if !errdefs.IsNotFound(err) {
		return Image{}, fmt.Errorf("look for the layers of %s: %w", ref, err)
	}
	if err := image.Unpack(ctx, overlayfs); err != nil {
		return Image{}, fmt.Errorf("unpack %s: %w", ref, err)
	}
	return Image{Ref: ref, Chain: chain}, nil
}

// maxChains is how many images' layers are remembered: more than a node has.
const maxChains = 1000

// chains are the layers of images, which a digest says for good: reading them
// off containerd takes a call for each of image, index, manifest and config.
type chains struct {
	mu    sync.Mutex
	byRef map[string]string
}

func (c *chains) of(ref string) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	chain, ok := c.byRef[ref]
	return chain, ok
}

func (c *chains) remember(ref, chain string) {
	if !strings.Contains(ref, "@sha256:") {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byRef == nil || len(c.byRef) >= maxChains {
		c.byRef = map[string]string{}
	}
	c.byRef[ref] = chain
}
