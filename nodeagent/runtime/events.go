package runtime

import (
	"context"
	"time"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
)

// Event is a container's task that was created, and waits to be started, or that
// was started.
type Event struct {
	ContainerID string
	PID         int
	Started     bool
}

// Events sends what becomes of tasks, within milliseconds, until ctx ends. It is
// a hint to look sooner than the pod watch would say: when the receiver is slow,
// or containerd restarts, some are missed.
func (r *Runtime) Events(ctx context.Context) <-chan Event {
	out := make(chan Event, 64)
	go func() {
		defer close(out)
		for ctx.Err() == nil {
			r.forward(ctx, out)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return out
}

// forward returns when the stream of events breaks.
func (r *Runtime) forward(ctx context.Context, out chan<- Event) {
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(ctx, namespace))
	defer cancel()
	stream, errs := r.client.Subscribe(ctx, `topic=="/tasks/create"`, `topic=="/tasks/start"`)
	for {
		select {
		case <-errs:
			return
		case <-ctx.Done():
			return
		case envelope := <-stream:
			any, err := typeurl.UnmarshalAny(envelope.Event)
			if err != nil {
				continue
			}
			var event Event
			switch e := any.(type) {
			case *events.TaskCreate:
				event = Event{ContainerID: e.ContainerID, PID: int(e.Pid)}
			case *events.TaskStart:
				event = Event{ContainerID: e.ContainerID, PID: int(e.Pid), Started: true}
			default:
				continue
			}
			select {
			case out <- event:
			default:
			}
		}
	}
}
