package runtime

import (
	"context"
	"time"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
)

// Starts sends the ID of each container that starts, within milliseconds, until
// ctx ends. It is a hint to look sooner than the pod watch would say: when the
// receiver is slow, or containerd restarts, some are missed.
func (r *Runtime) Starts(ctx context.Context) <-chan string {
	ids := make(chan string, 64)
	go func() {
		defer close(ids)
		for ctx.Err() == nil {
			r.forwardStarts(ctx, ids)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return ids
}

// forwardStarts returns when the stream of events breaks.
func (r *Runtime) forwardStarts(ctx context.Context, ids chan<- string) {
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(ctx, namespace))
	defer cancel()
	stream, errs := r.client.Subscribe(ctx, `topic=="/tasks/start"`)
	for {
		select {
		case <-errs:
			return
		case <-ctx.Done():
			return
		case envelope := <-stream:
			event, err := typeurl.UnmarshalAny(envelope.Event)
			if err != nil {
				continue
			}
			if start, ok := event.(*events.TaskStart); ok {
				select {
				case ids <- start.ContainerID:
				default:
				}
			}
		}
	}
}
