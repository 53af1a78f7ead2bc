package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxOutput is how much is kept of each of a command's two streams, their ends.
const maxOutput = 2 << 10

// drainLimit is how long a command's output may trail behind its end.
const drainLimit = 500 * time.Millisecond

// execSpec is the process that commands in the container are modelled on.
type execSpec struct{ process *specs.Process }

// readSpec takes what we need out of the OCI spec.
func (c *Container) readSpec(raw []byte) error {
	var spec specs.Spec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	for _, m := range spec.Mounts {
		c.Destinations = append(c.Destinations, m.Destination)
	}
	if spec.Linux != nil {
		c.UserNamespace = len(spec.Linux.UIDMappings) > 0
	}
	c.spec.process = spec.Process
	return nil
}

// Exec runs a command in the container, with its user, environment and limits.
// The error of a command that fails holds the end of its output.
func (r *Runtime) Exec(ctx context.Context, c Container, args []string) error {
	ctx = namespaces.WithNamespace(ctx, namespace)
	loaded, err := r.client.LoadContainer(ctx, c.ID)
	if err != nil {
		return gone(err, "load container %s", c.ID)
	}
	task, err := loaded.Task(ctx, nil)
	if err != nil {
		return gone(err, "find the task of container %s", c.ID)
	}
	spec := *c.spec.process
	spec.Args, spec.Terminal = args, false
	var stdout, stderr tail // apart, as one that says much would push out the other
	process, err := task.Exec(ctx, "hotpatch-"+random(), &spec, cio.NewCreator(cio.WithStreams(nil, &stdout, &stderr)))
	if err != nil {
		return fmt.Errorf("prepare %q in the container: %w", strings.Join(args, " "), err)
	}
	defer process.Delete(context.WithoutCancel(ctx))
	// Not until ctx ends: that would look like an end of the process.
	exit, err := process.Wait(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("wait for %q: %w", args[0], err)
	}
	if err := process.Start(ctx); err != nil {
		end(ctx, process, exit) // we may have given up waiting for a start that comes
		return fmt.Errorf("run %q in the container: %w", strings.Join(args, " "), err)
	}
	select {
	case status := <-exit:
		if status.ExitCode() != 0 {
			drain(process.IO())
			return fmt.Errorf("%q ended with %d: %s", strings.Join(args, " "), status.ExitCode(), strings.TrimSpace(stdout.String()+"\n"+stderr.String()))
		}
		return status.Error()
	case <-ctx.Done():
		end(ctx, process, exit)
		return fmt.Errorf("%q did not end in time: %w", strings.Join(args, " "), context.Cause(ctx))
	}
}

// end kills a command and waits for its end, but not for ever.
func end(ctx context.Context, process client.Process, exit <-chan client.ExitStatus) {
	if err := process.Kill(context.WithoutCancel(ctx), syscall.SIGKILL); err != nil {
		return // it was never started, or has ended
	}
	select {
	case <-exit:
	case <-time.After(time.Second):
	}
}

// drain waits for output that is still on its way when its command has ended.
// What the command has left running may keep the output open for good; deleting
// the process ends the wait then.
func drain(output cio.IO) {
	drained := make(chan struct{})
	go func() {
		output.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(drainLimit):
	}
}

// tail keeps the end of what is written to it, while it may be read.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if extra := t.b.Len() - maxOutput; extra > 0 {
		t.b.Next(extra)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.b.String())
}
