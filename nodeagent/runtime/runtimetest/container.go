package runtimetest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Spec is what tests set of a container.
type Spec struct {
	Image       string // as Import returned it
	Pod, Name   string // UID of a pod and name in it, as kubelet labels them
	PodName     string // of the pod, in the namespace default
	Env         []string
	Mounts      []specs.Mount
	ReadOnly    bool
	Snapshotter string // overlayfs if empty
	Filtered    bool   // by the runtime's default seccomp profile
	Capable     bool   // of what SYS_ADMIN allows
	Options     []oci.SpecOpts
	// Created is called before the container is started. May be nil.
	Created func(*Container)
	// Ready is asked until it returns no error: then the image's own program
	// answers. Without it the one that answers questions is waited for.
	Ready func() error
}

// Container is a running one.
type Container struct {
	ID, Share string // Share is a directory of the host, /share in the container
	PID       int
	node      *Node
	addr      string
}

// Run starts a container and waits until it answers. It is removed when the
// test ends.
func (n *Node) Run(t testing.TB, spec Spec) *Container {
	t.Helper()
	c := &Container{ID: randomID(), node: n, Share: t.TempDir()}
	if err := c.start(spec); err != nil {
		t.Fatalf("start a container: %v\n%s", err, n.Log())
	}
	t.Cleanup(func() {
		if err := c.Remove(); err != nil {
			t.Errorf("remove container: %v", err)
		}
	})
	return c
}

func (c *Container) start(spec Spec) error {
	ctx := Context()
	image, err := c.node.Client.GetImage(ctx, spec.Image)
	if err != nil {
		return err
	}
	snapshotter := spec.Snapshotter
	if snapshotter == "" {
		snapshotter = "overlayfs"
	}
	loaded, err := c.node.Client.NewContainer(ctx, c.ID, client.WithSnapshotter(snapshotter), client.WithNewSnapshot(c.ID, image),
		client.WithContainerLabels(map[string]string{"io.cri-containerd.kind": "container", "io.kubernetes.pod.uid": spec.Pod, "io.kubernetes.container.name": spec.Name,
			"io.kubernetes.pod.name": spec.PodName, "io.kubernetes.pod.namespace": "default"}),
		client.WithNewSpec(c.specOptions(image, spec)...))
	if err != nil {
		return err
	}
	task, err := loaded.NewTask(ctx, cio.LogFile(filepath.Join(c.Share, "log")))
	if err != nil {
		return err
	}
	c.PID = int(task.Pid())
	if spec.Created != nil {
		spec.Created(c)
	}
	if err := task.Start(ctx); err != nil {
		return err
	}
	ready := spec.Ready
	if ready == nil {
		ready = c.readAddr
	}
	return c.await(ready)
}

func (c *Container) specOptions(image client.Image, spec Spec) []oci.SpecOpts {
	mounts := append([]specs.Mount{{Destination: "/share", Source: c.Share, Type: "bind", Options: []string{"rbind", "rw"}}}, spec.Mounts...)
	options := []oci.SpecOpts{oci.WithImageConfig(image), oci.WithoutRunMount, oci.WithEnv(spec.Env), oci.WithMounts(mounts), oci.WithHostNamespace(specs.NetworkNamespace)}
	if spec.ReadOnly {
		options = append(options, oci.WithRootFSReadonly())
	}
	if spec.Capable {
		options = append(options, oci.WithAddedCapabilities([]string{"CAP_SYS_ADMIN"}))
	}
	if spec.Filtered {
		options = append(options, seccomp.WithDefaultProfile())
	}
	return append(options, spec.Options...)
}

func (c *Container) await(ready func() error) error {
	var err error
	for end := time.Now().Add(Limit(20 * time.Second)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = ready(); err == nil {
			return nil
		}
	}
	log, _ := os.ReadFile(filepath.Join(c.Share, "log"))
	return fmt.Errorf("the container does not answer: %w: %s", err, log)
}

// readAddr reads where the program that answers questions listens.
func (c *Container) readAddr() error {
	addr, err := os.ReadFile(filepath.Join(c.Share, "addr"))
	c.addr = string(addr)
	return err
}

// Kill ends the container's processes, and leaves the rest to be looked at.
func (c *Container) Kill() error {
	loaded, err := c.node.Client.LoadContainer(Context(), c.ID)
	if err != nil {
		return err
	}
	task, err := loaded.Task(Context(), nil)
	if err != nil {
		return err
	}
	ended, err := task.Wait(Context())
	if err != nil {
		return err
	}
	if err := task.Kill(Context(), syscall.SIGKILL); err != nil {
		return err
	}
	return (<-ended).Error()
}

// Remove kills and removes the container; again does nothing.
func (c *Container) Remove() error { return c.node.remove(c.ID) }

// Root is a path of the container as its first process sees it.
func (c *Container) Root(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", c.PID, path)
}

// Conn is a connection to the container's process 1.
type Conn struct {
	net.Conn
	lines *bufio.Scanner
}

// Dial connects.
func (c *Container) Dial(t testing.TB) *Conn {
	t.Helper()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		t.Fatalf("dial the container: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Conn{Conn: conn, lines: bufio.NewScanner(conn)}
}

// Ask sends one line and returns the answer's.
func (c *Conn) Ask(line string) (string, error) {
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	c.SetReadDeadline(time.Now().Add(Limit(5 * time.Second)))
	if !c.lines.Scan() {
		return "", errors.Join(errors.New("the connection was closed"), c.lines.Err())
	}
	return c.lines.Text(), nil
}

// Must is Ask whose failures, and answers of an error, end the test.
func (c *Conn) Must(t testing.TB, line string) string {
	t.Helper()
	answer, err := c.Ask(line)
	if err != nil || strings.HasPrefix(answer, "error: ") {
		t.Fatalf("%s: %s %v", line, answer, err)
	}
	return answer
}

func (n *Node) removeContainers() error {
	all, err := n.Client.Containers(Context())
	errs := []error{err}
	for _, c := range all {
		errs = append(errs, n.remove(c.ID()))
	}
	return errors.Join(errs...)
}

func (n *Node) remove(id string) error {
	ctx, cancel := context.WithTimeout(Context(), Limit(30*time.Second))
	defer cancel()
	loaded, err := n.Client.LoadContainer(ctx, id)
	if err != nil {
		return nil // removed already
	}
	if task, err := loaded.Task(ctx, nil); err == nil {
		if _, err := task.Delete(ctx, client.WithProcessKill); err != nil {
			return fmt.Errorf("end container %s: %w", id, err)
		}
	}
	return loaded.Delete(ctx, client.WithSnapshotCleanup)
}

func randomID() string {
	b := make([]byte, 32)
	rand.Read(b)
	return hex.EncodeToString(b)
}
