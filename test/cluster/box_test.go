package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tools is where `make cluster` builds the box, tested as it is.
const tools = "../../.cluster/bin"

// The box mends what died and, whatever died before it was told to end, leaves
// the machine as it found it.
func TestLeavesNothingBehind(t *testing.T) {
	box(t, "down")
	// What is looked with is among what the nodes need.
	if err := installPackages(); err != nil {
		t.Fatal(err)
	}
	before := machine(t)
	t.Cleanup(func() { box(t, "down") })

	box(t, "up", "--nodes", "2")
	podOnEachNode(t)
	if again := box(t, "up"); again > 5*time.Second {
		t.Errorf("starting what runs took %s", again)
	}
	for _, name := range []string{"etcd", "apiserver", "registry", "node1", "scheduler"} {
		killDaemon(t, name)
	}
	killProgram(t, "containerd", "kubelet")
	box(t, "up", "--nodes", "2")
	podOnEachNode(t)

	for _, name := range []string{"proxy", "apiserver", "node2", "controller-manager"} {
		killDaemon(t, name)
	}
	killProgram(t, "kubelet", "containerd-shim-runc-v2")
	box(t, "down")
	if after := machine(t); !slices.Equal(before, after) {
		t.Errorf("the machine was\n%s\nand is\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

func box(t *testing.T, args ...string) time.Duration {
	t.Helper()
	began := time.Now()
	out, err := exec.Command(filepath.Join(tools, "box"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("box %s (build it by `make cluster`): %v\n%s", strings.Join(args, " "), err, out)
	}
	return time.Since(began)
}

// podOnEachNode has one run on every node, so that there are pod networks,
// mounts and shims to clean up; again it finds them running.
func podOnEachNode(t *testing.T) {
	t.Helper()
	kubectl(t, daemonSet, "apply", "-f", "-")
	kubectl(t, "", "rollout", "status", "daemonset/idle", "--timeout=60s")
}

const daemonSet = `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: idle, namespace: default}
spec:
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: idle, image: "registry.example:5000/pause:1", imagePullPolicy: IfNotPresent}]
`

func kubectl(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(tools, "kubectl"), append([]string{"--kubeconfig", kubeconfigFile("admin")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// killDaemon kills what `box up` started, by its PID file. One that has ended by
// itself is as dead.
func killDaemon(t *testing.T, name string) {
	t.Helper()
	if p := running(name); p != nil {
		p.kill()
		return
	}
	log, _ := os.ReadFile(logFile(name))
	t.Logf("%s had ended by itself:\n%s", name, log[max(0, len(log)-2000):])
}

// killProgram kills what runs on the nodes, by name.
func killProgram(t *testing.T, names ...string) {
	t.Helper()
	killed := map[string]bool{}
	for n := 1; n <= 2; n++ {
		for _, p := range processes(func(pid int) bool { return ofNode(n, pid) }) {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
			for _, name := range names {
				if words := strings.Split(string(cmdline), "\x00"); filepath.Base(words[0]) == name || len(words) > 1 && words[1] == name {
					killed[name] = syscall.Kill(p.pid, syscall.SIGKILL) == nil
				}
			}
		}
	}
	for _, name := range names {
		if !killed[name] {
			t.Fatalf("no %s was killed", name)
		}
	}
}

// machine is all that a cluster could leave behind.
func machine(t *testing.T) []string {
	t.Helper()
	var seen []string
	for _, what := range [][]string{
		{"cat", "/proc/self/mounts"},
		{"ip", "-o", "-br", "link"},
		{"ip", "route"},
		{"iptables-save", "-t", "nat"},
		{"iptables-save", "-t", "filter"},
		{"cat", forwardFile},
	} {
		out, err := exec.Command(what[0], what[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(what, " "), err, out)
		}
		for line := range strings.Lines(string(out)) {
			if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ":") {
				seen = append(seen, what[0]+": "+strings.TrimSpace(line))
			}
		}
	}
	for _, pattern := range []string{stateDir, runDir, "/run/netns/*", "/sys/fs/cgroup/" + cgroup, "/sys/fs/cgroup/*/" + cgroup} {
		found, _ := filepath.Glob(pattern)
		seen = append(seen, found...)
	}
	return append(seen, programs()...)
}

// programs are the processes of any box.
func programs() []string {
	var found []string
	for _, p := range processes(func(int) bool { return true }) {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.pid))
		switch filepath.Base(exe) {
		case "kube", "box", "containerd-shim-runc-v2", "pause":
			found = append(found, fmt.Sprintf("process %d: %s", p.pid, exe))
		}
	}
	return found
}
