package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startNode starts `box node N` in a mount namespace of its own.
func startNode(n int) error {
	if running(nodeName(n)) != nil {
		return nil
	}
	stopNode(n) // whatever a dead supervisor left running
	return ensure(nodeName(n), binary("box"), "node", fmt.Sprint(n))
}

// rebootNode is a node that loses its power and starts again: every process of it
// dies at once, and what lies in memory only is gone, cgroups too: kubelet would
// look for containers in those, three seconds for each.
func rebootNode(n int) error {
	if n < 1 || n > nodesNow() {
		return fmt.Errorf("there is no node %d", n)
	}
	stopNode(n)
	for _, root := range hierarchies() {
		if err := removeCgroup(filepath.Join(root, cgroup, nodeName(n), "kubepods")); err != nil {
			return err
		}
	}
	for _, path := range inMemory {
		if err := os.RemoveAll(filepath.Join(nodeDir(n), path)); err != nil {
			return err
		}
	}
	return startNode(n)
}

// runNode makes a node's mount namespace and becomes `box inside N` in it. Only
// this thread is in the new namespace; by execve all of the process is, and none
// of its children can be started from outside.
func runNode(n int) error {
	runtime.LockOSThread()
	if err := ownMounts(n); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", []string{binary("box"), "inside", fmt.Sprint(n)}, os.Environ())
}

// runInside is one node: containerd and kubelet below stock paths, started again
// when they die, as an init system would. It returns when it is told to end.
func runInside(n int) error {
	// Shims are left to us when containerd dies; we reap them.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become subreaper: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	children := &reaper{exits: map[int]chan struct{}{}}
	go children.run()
	var wg sync.WaitGroup
	for name, args := range nodePrograms(n) {
		wg.Go(func() { children.keepRunning(ctx, nodeName(n)+"-"+name, args) })
	}
	wg.Wait()
	return nil
}

func nodePrograms(n int) map[string][]string {
	return map[string][]string{
		"containerd": {"containerd", "--config", "/etc/containerd/config.toml"},
		"kubelet": {binary("kube"), "kubelet", "--config", filepath.Join(nodeDir(n), "kubelet.yaml"),
			"--kubeconfig", kubeconfigFile(nodeName(n)), "--hostname-override", nodeName(n), "--node-ip", nodeAddress(n), "-v", "1"},
	}
}

// ownMounts leaves the host's mount namespace and puts this node's directories
// over the stock paths. Shared inside, as kubelet's mount propagation needs.
func ownMounts(n int) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make / shared: %w", err)
	}
	for _, path := range stockPaths {
		own := filepath.Join(nodeDir(n), path)
		if err := errors.Join(os.MkdirAll(own, 0o711), os.MkdirAll(path, 0o711)); err != nil {
			return err
		}
		if err := unix.Mount(own, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s over %s: %w", own, path, err)
		}
	}
	return nil
}

// reaper is the only one who waits for children: ours, and orphans of
// containerd that come to us.
type reaper struct {
	mu    sync.Mutex
	exits map[int]chan struct{}
}

func (r *reaper) run() {
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if err == unix.ECHILD {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		r.mu.Lock()
		if exit := r.exits[pid]; exit != nil {
			close(exit)
			delete(r.exits, pid)
		}
		r.mu.Unlock()
	}
}

func (r *reaper) keepRunning(ctx context.Context, name string, args []string) {
	for ctx.Err() == nil {
		cmd, exited, err := r.start(name, args)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			time.Sleep(time.Second)
			continue
		}
		select {
		case <-exited:
			time.Sleep(100 * time.Millisecond)
		case <-ctx.Done():
			cmd.Process.Signal(syscall.SIGTERM)
			select {
			case <-exited:
			case <-time.After(5 * time.Second):
				cmd.Process.Kill()
			}
		}
	}
}

func (r *reaper) start(name string, args []string) (*exec.Cmd, chan struct{}, error) {
	log, err := os.OpenFile(logFile(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	r.mu.Lock() // so that run cannot miss a child that dies at once
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %s: %w", name, err)
	}
	exited := make(chan struct{})
	r.exits[cmd.Process.Pid] = exited
	return cmd, exited, nil
}
