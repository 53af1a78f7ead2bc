package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"sync"
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

// endLimit bounds the end of a command that is killed.
const endLimit = 5 * time.Second

// execSpec is the process that commands in the container are modelled on.
type execSpec struct{ process *specs.Process }

// readSpec takes what we need out of the OCI spec.
func (c *Definition) readSpec(raw []byte) error {
	var spec specs.Spec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	for _, m := range spec.Mounts {
		c.Destinations = append(c.Destinations, m.Destination)
	}
	if spec.Linux != nil {
		c.UserNamespace = len(spec.Linux.UIDMappings) > 0
		c.KnownFilters = knownFilters(spec.Linux.Seccomp, "chdir", "rt_sigreturn")
	}
	c.spec.process = spec.Process
	return nil
}

// Programs are the paths at which the container's program may lie, as the
// runtime looks it up.
func (c Container) Programs() []string {
	if c.spec.process == nil || len(c.spec.process.Args) == 0 {
		return nil
	}
	name := c.spec.process.Args[0]
	if strings.Contains(name, "/") {
		return []string{absolute(c.spec.process.Cwd, name)}
	}
	var out []string
	for _, variable := range c.spec.process.Env {
		if dirs, ok := strings.CutPrefix(variable, "PATH="); ok {
			for dir := range strings.SplitSeq(dirs, ":") {
				out = append(out, path.Join("/", dir, name))
			}
		}
	}
	return out
}

func absolute(dir, name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join("/", dir, name)
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
	defer end(context.WithoutCancel(ctx), process)
	// Not until ctx ends: that would look like an end of the process.
	exit, err := process.Wait(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("wait for %q: %w", args[0], err)
	}
	if err := process.Start(ctx); err != nil {
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
		return fmt.Errorf("%q did not end in time: %w", strings.Join(args, " "), context.Cause(ctx))
	}
}

// end removes a process. One that still runs is killed, also where we gave up
// while containerd was starting it.
func end(ctx context.Context, process client.Process) {
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	process.Delete(ctx, client.WithProcessKill)
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
