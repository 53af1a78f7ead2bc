package runtime

import (
	"context"
	"time"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
)

// Stage of a container's start.
type Stage int

// The stages, in their order: the container is known; its processes wait to be
// started; they were started.
const (
	Made Stage = iota
	Created
	Started
)

// Event is a container that has come to a stage. PID is 0 while it is only made.
type Event struct {
	ContainerID string
	PID         int
	Stage       Stage
}

// Events sends what becomes of containers, within milliseconds, until ctx ends.
// It is a hint to look sooner than the pod watch would say: when the receiver is
// slow, or containerd restarts, some are missed.
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
	stream, errs := r.client.Subscribe(ctx, `topic=="/containers/create"`, `topic=="/tasks/create"`, `topic=="/tasks/start"`)
	for {
		select {
		case <-errs:
			return
		case <-ctx.Done():
			return
		case envelope := <-stream:
			event, ok := decode(envelope.Event)
			if !ok {
				continue
			}
			select {
			case out <- event:
			default:
			}
		}
	}
}

func decode(raw typeurl.Any) (Event, bool) {
	event, err := typeurl.UnmarshalAny(raw)
	if err != nil {
		return Event{}, false
	}
	switch e := event.(type) {
	case *events.ContainerCreate:
		return Event{ContainerID: e.ID, Stage: Made}, true
	case *events.TaskCreate:
		return Event{ContainerID: e.ContainerID, PID: int(e.Pid), Stage: Created}, true
	case *events.TaskStart:
		return Event{ContainerID: e.ContainerID, PID: int(e.Pid), Stage: Started}, true
	}
	return Event{}, false
}
