// Package runtimetest gives tests a containerd of their own, on directories of
// its own and without kubelet, with containers whose process 1 answers
// questions over TCP. Nothing of it is left when the tests end.
//
// It takes containerd, its shim and runc from PATH. Where tests run without Go,
// on another containerd than Debian's or on a slow machine, variables say so:
//
//	HOTPATCH_TEST_SERVER   the containers' program, built already
//	HOTPATCH_TEST_CONFIG   version of containerd's configuration: 2 (default), 3 or 4
//	HOTPATCH_TEST_SLOWER   how many times slower than usual the machine is
package runtimetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"hotpatch.dev/hotpatch/internal/debian"
)

const (
	serverEnv = "HOTPATCH_TEST_SERVER"
	configEnv = "HOTPATCH_TEST_CONFIG"
	slowerEnv = "HOTPATCH_TEST_SLOWER"
)

// Namespace is kubelet's in containerd.
const Namespace = "k8s.io"

// Node is a running containerd.
type Node struct {
	Dir    string // all that it has on disk
	Socket string
	Client *client.Client

	daemon  *exec.Cmd
	log     *os.File
	program string // the containers' process 1
}

// Start starts a containerd; Stop ends it. Missing root or packages are an
// error, never a reason to skip.
func Start() (*Node, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("these tests swap roots of real containers and need root")
	}
	if err := debian.Need(context.Background(), "these tests swap roots of real containers", map[string]string{"containerd": "containerd", "runc": "runc"}); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "hp")
	if err != nil {
		return nil, err
	}
	n := &Node{Dir: dir, Socket: filepath.Join(dir, "socket/containerd.sock"), program: os.Getenv(serverEnv)}
	if err := errors.Join(n.build(), n.configure()); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	if err := n.StartDaemon(); err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}

// StartDaemon starts containerd, again after StopDaemon.
func (n *Node) StartDaemon() (err error) {
	if n.log, err = os.OpenFile(filepath.Join(n.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	n.daemon = exec.Command("containerd", "--config", filepath.Join(n.Dir, "config.toml"))
	n.daemon.Stdout, n.daemon.Stderr = n.log, n.log
	n.daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.daemon.Start(); err != nil {
		return err
	}
	if n.Client == nil {
		if n.Client, err = client.New(n.Socket, client.WithTimeout(Limit(20*time.Second))); err != nil {
			return fmt.Errorf("containerd did not start: %w: %s", err, n.Log())
		}
	}
	return n.awaitCRI()
}

// awaitCRI waits until containerd's CRI plugin answers, which is its last.
func (n *Node) awaitCRI() error {
	for end := time.Now().Add(Limit(20 * time.Second)); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if serving, err := n.Client.IsServing(Context()); err == nil && serving {
			return nil
		}
	}
	return fmt.Errorf("containerd does not serve: %s", n.Log())
}

// StopDaemon ends containerd alone; containers run on.
func (n *Node) StopDaemon() error {
	if n.daemon == nil {
		return nil
	}
	defer n.log.Close()
	daemon := n.daemon
	n.daemon = nil
	if err := daemon.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	daemon.Wait() // its exit code is not ours
	return nil
}

// Stop ends everything.
func (n *Node) Stop() error {
	var errs []error
	if n.Client != nil {
		if n.daemon != nil {
			errs = append(errs, n.removeContainers())
		}
		errs = append(errs, n.Client.Close())
	}
	errs = append(errs, n.StopDaemon())
	for _, on := range n.Mounts() {
		errs = append(errs, syscall.Unmount(on, syscall.MNT_DETACH))
	}
	return errors.Join(append(errs, os.RemoveAll(n.Dir))...)
}

// Mounts lists what is mounted below the node's directory in our namespace.
func (n *Node) Mounts() []string {
	table, _ := os.ReadFile("/proc/self/mounts")
	var found []string
	for line := range strings.Lines(string(table)) {
		if on := strings.Fields(line)[1]; strings.HasPrefix(on, n.Dir+"/") {
			found = append(found, on)
		}
	}
	return found
}

// Log is the end of what containerd has said.
func (n *Node) Log() string {
	text, _ := os.ReadFile(filepath.Join(n.Dir, "log"))
	return string(text[max(0, len(text)-4000):])
}

// Limit is a time that a test gives something to happen in, longer on a machine
// that is slower.
func Limit(usual time.Duration) time.Duration {
	if times, err := strconv.Atoi(os.Getenv(slowerEnv)); err == nil && times > 1 {
		return usual * time.Duration(times)
	}
	return usual
}

// Context is one in kubelet's namespace.
func Context() context.Context {
	return namespaces.WithNamespace(context.Background(), Namespace)
}
