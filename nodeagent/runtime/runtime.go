// Package runtime is the only one that talks to containerd: it finds
// containers, has images pulled and unpacked, and prepares the snapshots that
// become roots.
//
// It promises that a snapshot which became a root is pinned to its container:
// it outlives the image, every garbage collection and restarts of containerd,
// and goes away with the container.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	apitask "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/lru"
)

// namespace is where kubelet's containers live in containerd.
const namespace = "k8s.io"

// overlayfs is the only snapshotter whose mounts we know how to stack.
const overlayfs = "overlayfs"

// ErrGone says that there is no such container, or that it does not run.
var ErrGone = errors.New("the container does not run")

// Runtime is a connection to one node's containerd.
type Runtime struct {
	client *client.Client
	images cri.ImageServiceClient
	tasks  tasks.TasksClient
	known  known
	// roots are snapshots by key, made what containers are made of, by ID: neither
	// ever changes.
	roots, made *lru.Cache
}

// maxKept is how many of each are remembered: more than a node has.
const maxKept = 4096

// Open connects to containerd's socket. The connection mends itself when
// containerd restarts.
func Open(socket string) (*Runtime, error) {
	c, err := client.New(socket, client.WithTimeout(10*time.Second), client.WithDefaultNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", socket, err)
	}
	conn, ok := c.Conn().(grpc.ClientConnInterface)
	if !ok {
		return nil, errors.New("containerd's client has no gRPC connection")
	}
	return &Runtime{client: c, images: cri.NewImageServiceClient(conn), tasks: tasks.NewTasksClient(conn), roots: lru.New(maxKept), made: lru.New(maxKept)}, nil
}

// Close ends the connection.
func (r *Runtime) Close() error { return r.client.Close() }

// Container is one running container as containerd has it.
type Container struct {
	ID  string
	PID int
	Definition
	Labels map[string]string
}

// Definition is what of a container stays as it was made.
type Definition struct {
	// SnapshotKey of its own root; Parent is the chain of layers below it.
	SnapshotKey, Parent string
	// Destinations of its mounts as the OCI spec writes them.
	Destinations []string
	// UserNamespace: it has UIDs of its own, which snapshots do not fit.
	UserNamespace bool
	// KnownFilters is how many seccomp filters its processes have from the
	// runtime that let chdir and rt_sigreturn pass: none or one.
	KnownFilters int
	// Process is what exec'd commands inherit.
	spec execSpec
	// at: whoever has the same ID later is another.
	at time.Time
}

// Container loads a running container by its ID, as in "containerd://ID" of a
// pod's status.
func (r *Runtime) Container(ctx context.Context, id string) (Container, error) {
	c, err := r.Made(ctx, id)
	if err != nil {
		return c, err
	}
	c.PID, err = r.running(namespaces.WithNamespace(ctx, namespace), id)
	return c, err
}

// running is the first process of a container; ErrGone if there is none.
func (r *Runtime) running(ctx context.Context, id string) (pid int, err error) {
	task, err := r.tasks.Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil {
		return 0, gone(err, "find the task of container %s", id)
	}
	if task.Process.Status != apitask.Status_RUNNING {
		return 0, fmt.Errorf("%w: %s has ended", ErrGone, id)
	}
	return int(task.Process.Pid), nil
}

// Made loads a container whether or not it runs; it has no PID.
func (r *Runtime) Made(ctx context.Context, id string) (Container, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	info, err := r.client.ContainerService().Get(ctx, id)
	if err != nil {
		return Container{}, gone(err, "load container %s", id)
	}
	c := Container{ID: id, Labels: info.Labels}
	if known, ok := r.made.Get(id); ok {
		if c.Definition, ok = known.(Definition); ok && c.at.Equal(info.CreatedAt) {
			return c, nil
		}
	}
	if c.Definition, err = r.define(ctx, info); err == nil {
		r.made.Add(id, c.Definition)
	}
	return c, err
}

// define reads what a container is made of; an error for one that cannot be patched.
func (r *Runtime) define(ctx context.Context, info containers.Container) (Definition, error) {
	if info.Snapshotter != overlayfs {
		return Definition{}, fmt.Errorf("container %s uses the snapshotter %s; only overlayfs can be hot-patched", info.ID, info.Snapshotter)
	}
	if info.Runtime.Name != "io.containerd.runc.v2" {
		return Definition{}, fmt.Errorf("container %s runs on %s; only runc containers have a root that can be swapped", info.ID, info.Runtime.Name)
	}
	m := Definition{SnapshotKey: info.SnapshotKey, at: info.CreatedAt}
	if err := m.readSpec(info.Spec.GetValue()); err != nil {
		return m, fmt.Errorf("read the OCI spec of container %s: %w", info.ID, err)
	}
	snapshot, err := r.client.SnapshotService(overlayfs).Stat(ctx, m.SnapshotKey)
	if err != nil {
		return m, fmt.Errorf("look at the own root of container %s: %w", info.ID, err)
	}
	m.Parent = snapshot.Parent
	return m, nil
}

const (
	podLabel  = "io.kubernetes.pod.uid"
	nameLabel = "io.kubernetes.container.name"
)

// Find is the running container of a pod by that name; ErrGone if there is none.
// It is looked for at hint first, an ID that may be another's: for containerd to
// look through all it has takes milliseconds on a full node.
func (r *Runtime) Find(ctx context.Context, podUID, name, hint string) (Container, error) {
	if hint != "" {
		c, err := r.Container(ctx, hint)
		if err == nil && c.Labels[podLabel] == podUID && c.Labels[nameLabel] == name {
			return c, nil
		}
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	all, err := r.client.ContainerService().List(ctx, fmt.Sprintf(`labels.%q==%q,labels.%q==%q`, podLabel, podUID, nameLabel, name))
	if err != nil {
		return Container{}, fmt.Errorf("list the pod's containers: %w", err)
	}
	for _, c := range all {
		if _, err := r.running(ctx, c.ID); err == nil {
			return r.Container(ctx, c.ID)
		}
	}
	return Container{}, fmt.Errorf("%w: no container %s of this pod is running now", ErrGone, name)
}

// gone turns "not found" into ErrGone.
func gone(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if errdefs.IsNotFound(err) || strings.Contains(err.Error(), "not found") {
		return fmt.Errorf("%w: %s: %w", ErrGone, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Labels reads a container's labels anew.
func (r *Runtime) Labels(ctx context.Context, id string) (map[string]string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	c, err := r.client.ContainerService().Get(ctx, id)
	if err != nil {
		return nil, gone(err, "load container %s", id)
	}
	return c.Labels, nil
}

// SetLabels sets labels on a container; an empty value removes one.
func (r *Runtime) SetLabels(ctx context.Context, id string, labels map[string]string) error {
	ctx = namespaces.WithNamespace(ctx, namespace)
	var paths []string // nothing else of the container is written
	for label := range labels {
		paths = append(paths, "labels."+label)
	}
	_, err := r.client.ContainerService().Update(ctx, containers.Container{ID: id, Labels: labels}, paths...)
	if err != nil {
		return gone(err, "label container %s", id)
	}
	return nil
}

// Version is containerd's own, such as "1.6.20~ds1" or "v2.4.2". It tells too
// that containerd answers.
func (r *Runtime) Version(ctx context.Context) (string, error) {
	v, err := r.client.Version(ctx)
	return v.Version, err
}

// Owner is the container of a pod that kubelet made a container for.
type Owner struct {
	Pod  string // "namespace/name"
	UID  string
	Name string // of the container in the pod
}

// OwnerOf tells whose a container is; false for one that is no container of a
// pod.
func (r *Runtime) OwnerOf(ctx context.Context, id string) (Owner, bool) {
	labels, err := r.Labels(ctx, id)
	if err != nil || labels["io.cri-containerd.kind"] != "container" {
		return Owner{}, false
	}
	return Owner{Pod: labels["io.kubernetes.pod.namespace"] + "/" + labels["io.kubernetes.pod.name"],
		UID: labels[podLabel], Name: labels[nameLabel]}, true
}
