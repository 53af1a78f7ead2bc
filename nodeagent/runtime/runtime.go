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
	// roots are how snapshots are mounted, by key: that never changes, and a
	// key is not used again.
	roots *lru.Cache
}

// maxRoots is how many of them are remembered: more than a node has.
const maxRoots = 4096

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
	return &Runtime{client: c, images: cri.NewImageServiceClient(conn), tasks: tasks.NewTasksClient(conn), roots: lru.New(maxRoots)}, nil
}

// Close ends the connection.
func (r *Runtime) Close() error { return r.client.Close() }

// Container is one running container as containerd has it.
type Container struct {
	ID  string
	PID int
	// SnapshotKey of its own root; Parent is the chain of layers below it.
	SnapshotKey, Parent string
	// Destinations of its mounts as the OCI spec writes them.
	Destinations []string
	Labels       map[string]string
	// UserNamespace: it has UIDs of its own, which snapshots do not fit.
	UserNamespace bool
	// KnownFilters is how many seccomp filters its processes have from the
	// runtime that let chdir and rt_sigreturn pass: none or one.
	KnownFilters int
	// Process is what exec'd commands inherit.
	spec execSpec
}

// Container loads a running container by its ID, as in "containerd://ID" of a
// pod's status.
func (r *Runtime) Container(ctx context.Context, id string) (Container, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	c, err := r.Made(ctx, id)
	if err != nil {
		return c, err
	}
	task, err := r.tasks.Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil {
		return c, gone(err, "find the task of container %s", id)
	}
	if task.Process.Status != apitask.Status_RUNNING {
		return c, fmt.Errorf("%w: %s has ended", ErrGone, id)
	}
	c.PID = int(task.Process.Pid)
	return c, nil
}

// Made loads a container whether or not it runs; it has no PID.
func (r *Runtime) Made(ctx context.Context, id string) (Container, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	loaded, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return Container{}, gone(err, "load container %s", id)
	}
	info, err := loaded.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return Container{}, gone(err, "read container %s", id)
	}
	if info.Snapshotter != overlayfs {
		return Container{}, fmt.Errorf("container %s uses the snapshotter %s; only overlayfs can be hot-patched", id, info.Snapshotter)
	}
	if info.Runtime.Name != "io.containerd.runc.v2" {
		return Container{}, fmt.Errorf("container %s runs on %s; only runc containers have a root that can be swapped", id, info.Runtime.Name)
	}
	c := Container{ID: id, SnapshotKey: info.SnapshotKey, Labels: info.Labels}
	if err := c.readSpec(info.Spec.GetValue()); err != nil {
		return c, fmt.Errorf("read the OCI spec of container %s: %w", id, err)
	}
	snapshot, err := r.client.SnapshotService(overlayfs).Stat(ctx, c.SnapshotKey)
	if err != nil {
		return c, fmt.Errorf("look at the own root of container %s: %w", id, err)
	}
	c.Parent = snapshot.Parent
	return c, nil
}

// Find is the ID of the running container of a pod by that name; ErrGone if
// there is none.
func (r *Runtime) Find(ctx context.Context, podUID, name string) (string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	all, err := r.client.ContainerService().List(ctx, fmt.Sprintf(`labels."io.kubernetes.pod.uid"==%q,labels."io.kubernetes.container.name"==%q`, podUID, name))
	if err != nil {
		return "", fmt.Errorf("list the pod's containers: %w", err)
	}
	for _, c := range all {
		task, err := r.tasks.Get(ctx, &tasks.GetRequest{ContainerID: c.ID})
		if err == nil && task.Process.Status == apitask.Status_RUNNING {
			return c.ID, nil
		}
	}
	return "", fmt.Errorf("%w: no container %s of this pod is running now", ErrGone, name)
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
		UID: labels["io.kubernetes.pod.uid"], Name: labels["io.kubernetes.container.name"]}, true
}
