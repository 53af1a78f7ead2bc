package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// daemons in the order in which they are stopped.
var daemons = []string{"proxy", "scheduler", "controller-manager", "apiserver", "etcd", "registry"}

// down ends everything of the box, whatever is left of it.
func down() error {
	if err := machineFits(); err != nil {
		return err
	}
	for n := 1; n <= maxNodes; n++ {
		stopNode(n)
	}
	for _, name := range daemons {
		if p := running(name); p != nil {
			p.stop(5 * time.Second)
		}
	}
	errs := []error{cleanFirewall("iptables"), cleanFirewall("ip6tables"), removeLinks(), removeCgroups(), restoreForwarding()}
	errs = append(errs, os.RemoveAll(stateDir), os.RemoveAll(runDir))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("The cluster is gone: no process, mount, link, rule or cgroup of it is left.")
	return nil
}

// stopNode kills a node's supervisor, then all that runs in its mount namespace
// (containerd, kubelet, shims) or in its cgroups (containers). Their mounts and
// network namespaces die with them.
func stopNode(n int) {
	members := processes(func(pid int) bool { return ofNode(n, pid) })
	for len(members) > 0 {
		for _, p := range members {
			p.kill()
		}
		members = processes(func(pid int) bool { return ofNode(n, pid) })
	}
}

func ofNode(n, pid int) bool {
	if cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)); err == nil &&
		strings.Contains(string(cgroups), fmt.Sprintf("/%s/%s/", cgroup, nodeName(n))) {
		return true
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	return err == nil && bytes.Contains(mounts, []byte("hotpatch-box/"+nodeName(n)+"/run/containerd /run/containerd "))
}

// cleanFirewall takes the rules and chains of kube-proxy, kubelet and CNI out
// of the tables, and leaves everyone else's.
func cleanFirewall(family string) error {
	saved, err := exec.Command(family + "-save").Output()
	if err != nil || !bytes.Contains(saved, []byte("KUBE-")) && !bytes.Contains(saved, []byte("CNI-")) {
		return nil // no such family here, or nothing of ours
	}
	var kept []string
	for line := range strings.Lines(string(saved)) {
		if !strings.Contains(line, "KUBE-") && !strings.Contains(line, "CNI-") {
			kept = append(kept, line)
		}
	}
	restore := exec.Command(family + "-restore")
	restore.Stdin = strings.NewReader(strings.Join(kept, ""))
	if out, err := restore.CombinedOutput(); err != nil {
		return fmt.Errorf("%s-restore: %w: %s", family, err, out)
	}
	return nil
}

func removeLinks() error {
	var errs []error
	for _, link := range []string{podBridge, apiBridge} {
		if exists("/sys/class/net/" + link) {
			errs = append(errs, run("ip", "link", "del", link))
		}
	}
	return errors.Join(errs...)
}

func removeCgroups() error {
	var errs []error
	for _, root := range hierarchies() {
		errs = append(errs, removeCgroup(filepath.Join(root, cgroup)))
	}
	return errors.Join(errs...)
}

// removeCgroup removes a cgroup from the leaves up; a process that was just
// killed may hold one for a moment.
func removeCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return wait(5*time.Second, func() error { return os.Remove(dir) })
}

func restoreForwarding() error {
	was, err := os.ReadFile(configFile("ip_forward"))
	if err != nil {
		return nil // never changed
	}
	return os.WriteFile(forwardFile, was, 0o644)
}

// status says what runs, and where to look.
func status() error {
	for _, name := range daemons {
		if p := running(name); p != nil {
			fmt.Printf("%-20s running, PID %d\n", name, p.pid)
		} else {
			fmt.Printf("%-20s dead\n", name)
		}
	}
	for n := 1; n <= nodesNow(); n++ {
		p := running(nodeName(n))
		fmt.Printf("%-20s running, PID %d; inside: nsenter -m -t %d ctr -n k8s.io containers ls\n", nodeName(n), p.pid, p.pid)
	}
	fmt.Printf("logs in %s\n", filepath.Dir(logFile("x")))
	return nil
}
