package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ContainerdSocket is that of the first node, as this side sees it.
const ContainerdSocket = "/var/lib/hotpatch-box/node1/run/containerd/containerd.sock"

// KillOnNode ends one of a node's own programs at once, "containerd" or
// "kubelet", as a crash would. The node starts it again.
func KillOnNode(program string) error {
	pid := processWith(map[string][]string{
		"containerd": {"containerd", "--config", "/etc/containerd/config.toml"},
		"kubelet":    {"kube", "kubelet", "--config"},
	}[program])
	if pid == 0 {
		return fmt.Errorf("no %s runs on a node", program)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// ProcessNamed is the PID of a program by its file's name; 0: it does not run.
func ProcessNamed(program string) int { return processWith([]string{program}) }

// processWith finds one whose command line begins so.
func processWith(command []string) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		cmdline, _ := os.ReadFile(file)
		words := strings.Split(string(cmdline), "\x00")
		words[0] = filepath.Base(words[0])
		if len(words) >= len(command) && slices.Equal(words[:len(command)], command) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return pid
		}
	}
	return 0
}

// MountedAt is the line of a mountinfo for a path, "" if nothing is mounted there.
func MountedAt(mountinfo, path string) string {
	for line := range strings.Lines(mountinfo) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == path {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// Reboot has the first node lose its power and start again.
func (s *Stage) Reboot(ctx context.Context) error {
	_, err := Run(ctx, s.Root, s.path("bin/box"), "reboot", "1")
	return err
}

// Join has a second node join the cluster. Only pods that name it run there.
func (s *Stage) Join(ctx context.Context) error {
	if _, err := Run(ctx, s.Root, s.path("bin/box"), "up", "--nodes", "2"); err != nil {
		return err
	}
	_, err := s.Kubectl(ctx, "cordon", "node2")
	return err
}

// SameView checks that a command executed in a game server's container sees the
// same image as its first process, wherever a swap stands. It asks the first
// process before and after the command: an agent that comes back may swap in
// between, and then nothing can be said.
func (s *Stage) SameView(ctx context.Context, life Life) (swapped bool, err error) {
	file := fmt.Sprintf("/proc/%d/root/game/version", life.HostPID)
	before, err := os.ReadFile(file)
	if err != nil {
		return true, nil // for a moment, while the server executes itself anew
	}
	out, err := s.Exec(ctx, life.Pod, life.Container, "/game/server", "--version")
	if err != nil {
		return false, err
	}
	after, err := os.ReadFile(file)
	if err != nil || string(before) != string(after) {
		return true, nil
	}
	if version := strings.TrimSpace(string(before)); !strings.Contains(out, "program "+version+", files "+version) {
		return false, fmt.Errorf("pod %s: its first process sees %s, a command in it %s", life.Pod, version, out)
	}
	return false, nil
}
