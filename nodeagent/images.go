package nodeagent

import (
	"context"

	"golang.org/x/sync/singleflight"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
)

// maxPulls is how many images are pulled at once.
const maxPulls = 3

// puller is what images need of a runtime.
type puller interface {
	Present(ctx context.Context, ref string) (runtime.Image, error)
	Pull(ctx context.Context, ref string) (runtime.Image, error)
}

// images has images pulled once each, for whichever pods want them.
type images struct {
	puller  puller
	flights singleflight.Group
	slots   chan struct{}
}

func newImages(p puller) *images {
	return &images{puller: p, slots: make(chan struct{}, maxPulls)}
}

// ready returns the image once it is unpacked on this node.
func (i *images) ready(ctx context.Context, ref string) (runtime.Image, error) {
	if image, err := i.puller.Present(ctx, ref); err == nil {
		return image, nil
	}
	result := i.flights.DoChan(ref, func() (any, error) {
		i.slots <- struct{}{}
		defer func() { <-i.slots }()
		// Others wait for this pull too: it does not end with our context.
		return i.puller.Pull(context.WithoutCancel(ctx), ref)
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

// prepare has every image of a Prepare ready and says how each ended.
func (i *images) prepare(ctx context.Context, p api.Prepare) []api.PreparedImage {
	var out []api.PreparedImage
	for _, ref := range p.Images {
		prepared := api.PreparedImage{Image: ref, State: api.StateReady}
		if _, err := i.ready(ctx, ref); err != nil {
			prepared.State, prepared.Message = api.StateFailed, err.Error()
		}
		out = append(out, prepared)
	}
	return out
}

// absent are the images of a pod that are not on the node yet.
func (i *images) absent(ctx context.Context, refs []string) []string {
	var out []string
	for _, ref := range refs {
		if _, err := i.puller.Present(ctx, ref); err != nil {
			out = append(out, ref)
		}
	}
	return out
}
