package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
)

// Pods are the running pods with a label "app=…", by name.
func (s *Stage) Pods(ctx context.Context, app string) ([]corev1.Pod, error) {
	list, err := s.Kube.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		return nil, err
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return pods, nil
}

// Life is what must not change under a hot-patch: the container, its first
// process on the node, and when it started.
type Life struct {
	Pod, Container, ContainerID string
	Restarts                    int32
	Started                     time.Time
	HostPID                     int
	ProcessStart                string // clock ticks since boot, from /proc
}

// Lives reads the lives of one container of every pod of an app.
func (s *Stage) Lives(ctx context.Context, app, container string) ([]Life, error) {
	pods, err := s.Pods(ctx, app)
	if err != nil {
		return nil, err
	}
	var lives []Life
	for _, pod := range pods {
		for _, st := range pod.Status.ContainerStatuses {
			if st.Name != container || st.State.Running == nil {
				continue
			}
			life := Life{Pod: pod.Name, Container: st.Name, ContainerID: st.ContainerID, Restarts: st.RestartCount, Started: st.State.Running.StartedAt.Time}
			life.HostPID, life.ProcessStart, err = initOf(st.ContainerID)
			if err != nil {
				return nil, err
			}
			lives = append(lives, life)
		}
	}
	return lives, nil
}

// SameLives says which container is not the one it was.
func SameLives(before, after []Life) error {
	if len(before) != len(after) {
		return fmt.Errorf("%d containers before, %d after", len(before), len(after))
	}
	for i := range before {
		if before[i] != after[i] {
			return fmt.Errorf("container %s of pod %s is not the same:\nbefore %+v\nafter  %+v", before[i].Container, before[i].Pod, before[i], after[i])
		}
	}
	return nil
}

// Observed is what the agent wrote on a pod; zero when it wrote nothing.
func Observed(pod corev1.Pod) (api.Observed, error) {
	var o api.Observed
	text := pod.Annotations[api.ObservedAnnotation]
	if text == "" {
		return o, nil
	}
	return o, json.Unmarshal([]byte(text), &o)
}

// initOf finds the first process of a container on this host: the one in the
// container's cgroup whose innermost PID is 1.
func initOf(containerID string) (pid int, start string, err error) {
	_, id, _ := strings.Cut(containerID, "://")
	statuses, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range statuses {
		cgroup, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(cgroup), id) {
			continue
		}
		dir := filepath.Dir(file)
		if innermostPID(dir) != "1" {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		_, err = fmt.Sscan(filepath.Base(dir), &pid)
		return pid, fields[19], err
	}
	return 0, "", fmt.Errorf("no process of container %s on this host", id)
}

func innermostPID(dir string) string {
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	for line := range strings.Lines(string(status)) {
		if pids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(pids)
			return fields[len(fields)-1]
		}
	}
	return ""
}

// BackOn waits until the container that took a killed one's place serves a
// version, and says how long that took from now.
func (s *Stage) BackOn(ctx context.Context, app string, victim Life, version string, limit time.Duration) (time.Duration, error) {
	began := time.Now()
	err := Eventually(ctx, limit, func(ctx context.Context) error {
		pod, err := s.Kube.CoreV1().Pods(Namespace).Get(ctx, victim.Pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		a, err := Ask(pod.Name, pod.Status.PodIP+":7777")
		if err != nil {
			return err
		}
		if a.Version != version || a.Started.Before(began.Add(-time.Second)) {
			return fmt.Errorf("pod %s is served by %s, started %s", pod.Name, a.Version, a.Started)
		}
		return nil
	})
	return time.Since(began), err
}

// KillContainer kills a container's first process with SIGKILL, as the kernel
// would. One that is gone already is no error: that is what was wanted.
func KillContainer(containerID string) {
	if pid, _, err := initOf(containerID); err == nil {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}
