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
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// PullLimit bounds one pull.
const PullLimit = 10 * time.Minute

// Image is an image unpacked on this node.
type Image struct {
	Ref   string // by digest
	Chain string // of its layers: the parent of a root made of it
	Config
}

// Config is what an image says of how it is to be run, and where.
type Config struct {
	v1.Platform
	v1.ImageConfig
}

// Pull has an image (by digest) on this node and unpacked. It is pulled through
// the node's own CRI image service, which knows the node's registry mirrors; auth
// may be nil.
func (r *Runtime) Pull(ctx context.Context, ref string, auth *cri.AuthConfig) (Image, error) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, namespace), PullLimit)
	defer cancel()
	if !strings.Contains(ref, "@sha256:") {
		return Image{}, fmt.Errorf("image %q is not given by digest", ref)
	}
	if image, err := r.unpacked(ctx, ref); err == nil {
		return image, nil
	}
	if _, err := r.images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}, Auth: auth}); err != nil {
		return Image{}, fmt.Errorf("pull %s: %w", ref, err)
	}
	return r.unpacked(ctx, ref)
}

// Present is the image if it is on this node and unpacked; an error that is
// errdefs.ErrNotFound if not.
func (r *Runtime) Present(ctx context.Context, ref string) (Image, error) {
	return r.unpacked(namespaces.WithNamespace(ctx, namespace), ref)
}

// Config is the configuration of an image on this node, by any of its names.
func (r *Runtime) Config(ctx context.Context, name string) (Config, error) {
	image, err := r.described(namespaces.WithNamespace(ctx, namespace), name)
	return image.Config, err
}

func (r *Runtime) unpacked(ctx context.Context, ref string) (Image, error) {
	image, err := r.described(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	if _, err := r.client.SnapshotService(overlayfs).Stat(ctx, image.Chain); err == nil {
		return image, nil
	} else if !errdefs.IsNotFound(err) {
		return Image{}, fmt.Errorf("look for the layers of %s: %w", ref, err)
	}
	known, err := r.client.GetImage(ctx, ref)
	if err != nil {
		return Image{}, fmt.Errorf("find image %s: %w", ref, err)
	}
	if err := known.Unpack(ctx, overlayfs); err != nil {
		return Image{}, fmt.Errorf("unpack %s: %w", ref, err)
	}
	return image, nil
}

// described reads an image's configuration, unpacked or not.
func (r *Runtime) described(ctx context.Context, name string) (Image, error) {
	if image, ok := r.known.of(name); ok {
		return image, nil
	}
	found, err := r.client.GetImage(ctx, name)
	if err != nil {
		return Image{}, fmt.Errorf("find image %s: %w", name, err)
	}
	spec, err := found.Spec(ctx)
	if err != nil {
		return Image{}, fmt.Errorf("read the configuration of %s: %w", name, err)
	}
	image := Image{Ref: name, Chain: identity.ChainID(spec.RootFS.DiffIDs).String(), Config: Config{spec.Platform, spec.Config}}
	r.known.remember(image)
	return image, nil
}

// maxKnown is how many images are remembered: more than a node has.
const maxKnown = 1000

// known are images as a digest describes them for good: reading them off
// containerd takes a call for each of image, index, manifest and configuration.
type known struct {
	mu    sync.Mutex
	byRef map[string]Image
}

func (k *known) of(ref string) (Image, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	image, ok := k.byRef[ref]
	return image, ok
}

func (k *known) remember(image Image) {
	if !strings.Contains(image.Ref, "sha256:") {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byRef == nil || len(k.byRef) >= maxKnown {
		k.byRef = map[string]Image{}
	}
	k.byRef[image.Ref] = image
}
