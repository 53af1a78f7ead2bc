package nodeagent

import (
	"context"
	"errors"
	"fmt"
	goruntime "runtime"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/imageconfig"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
)

const (
	// maxPulls is how many images are pulled at once.
	maxPulls = 3
	// secretsLimit bounds reading a pod's imagePullSecrets.
	secretsLimit = 10 * time.Second
)

// puller is what images need of a runtime.
type puller interface {
	Present(ctx context.Context, ref string) (runtime.Image, error)
	Pull(ctx context.Context, ref string, auth *cri.AuthConfig) (runtime.Image, error)
	Config(ctx context.Context, name string) (runtime.Config, error)
}

// images has images pulled once each, for whichever pods want them.
type images struct {
	puller puller
	// credentials of a pod for an image; may be nil, and may have some with an
	// error.
	credentials func(ctx context.Context, pod *corev1.Pod, ref string) (*cri.AuthConfig, error)
	metrics     *metrics
	flights     singleflight.Group
	slots       chan struct{}
}

func newImages(p puller, m *metrics) *images {
	return &images{puller: p, metrics: m, slots: make(chan struct{}, maxPulls)}
}

// ready returns the image once it is unpacked on this node, pulled for a pod.
func (i *images) ready(ctx context.Context, pod *corev1.Pod, ref string) (runtime.Image, error) {
	if image, err := i.puller.Present(ctx, ref); err == nil {
		return image, nil
	}
	result := i.flights.DoChan(ref, func() (any, error) {
		i.slots <- struct{}{}
		defer func() { <-i.slots }()
		// Others wait for this pull too: it does not end with our context.
		return i.pull(context.WithoutCancel(ctx), pod, ref)
	})
	select {
	case r := <-result:
		if r.Err != nil {
			return runtime.Image{}, r.Err
		}
		return r.Val.(runtime.Image), nil
	case <-ctx.Done():
		return runtime.Image{}, context.Cause(ctx)
	}
}

// pull says of credentials that it lacks only if they were needed.
func (i *images) pull(ctx context.Context, pod *corev1.Pod, ref string) (image runtime.Image, err error) {
	defer i.metrics.pulled(time.Now(), &err)
	var auth *cri.AuthConfig
	var missing error
	if i.credentials != nil {
		limited, cancel := context.WithTimeout(ctx, secretsLimit)
		defer cancel()
		auth, missing = i.credentials(limited, pod, ref)
	}
	if image, err = i.puller.Pull(ctx, ref, auth); err != nil {
		return image, errors.Join(err, missing)
	}
	return image, nil
}

// prepare has the images of a Prepare ready for a pod, and says how each ended.
func (i *images) prepare(ctx context.Context, pod *corev1.Pod, p api.Prepare) []api.PreparedImage {
	var out []api.PreparedImage
	for _, want := range p.Containers {
		prepared := api.PreparedImage{Container: want.Name, Image: want.Image, State: api.StateReady}
		var err error
		if prepared.Ignored, err = i.judge(ctx, pod, want); err != nil {
			prepared.State, prepared.Message = api.StateFailed, err.Error()
		}
		out = append(out, prepared)
	}
	return out
}

func (i *images) judge(ctx context.Context, pod *corev1.Pod, want api.DesiredContainer) (ignored string, err error) {
	image, err := i.ready(ctx, pod, want.Image)
	if err != nil {
		return "", err
	}
	if ignored, err = i.compare(ctx, statusImage(pod, want.Name), image); err != nil {
		return "", err
	}
	return ignored, refusal(want, ignored)
}

// compare says what of an image a container that was started from own will not
// take. The error says that its programs cannot run here.
func (i *images) compare(ctx context.Context, own string, image runtime.Image) (ignored string, err error) {
	if why := imageconfig.RunsOn(image.Platform, goruntime.GOOS, goruntime.GOARCH); why != "" {
		return "", fmt.Errorf("image %s cannot run here, so nothing was changed: %s", image.Ref, why)
	}
	config, err := i.puller.Config(ctx, own)
	if err != nil { // removed since the container started: no reason to fail
		return "configuration (that of its own image is not on the node any more, to compare)", nil
	}
	return imageconfig.Ignored(config.ImageConfig, image.ImageConfig), nil
}

// refusal is the error where a difference is not to be lived with.
func refusal(want api.DesiredContainer, ignored string) error {
	if ignored == "" || want.ImageConfig != api.ImageConfigRefuse {
		return nil
	}
	return fmt.Errorf("imageConfig is Refuse, and the running container would not take the image's %s; nothing was changed", ignored)
}

// absent are the containers whose images are not on the node yet.
func (i *images) absent(ctx context.Context, containers []api.DesiredContainer) []api.DesiredContainer {
	return slices.DeleteFunc(slices.Clone(containers), func(c api.DesiredContainer) bool {
		if c.Image == "" {
			return true
		}
		_, err := i.puller.Present(ctx, c.Image)
		return err == nil
	})
}
