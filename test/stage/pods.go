package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// Youngest is the container that kubelet starts again the soonest: it waits the
// longer the more often one has ended.
func Youngest(lives []Life) Life {
	return slices.MinFunc(lives, func(a, b Life) int { return cmp.Compare(a.Restarts, b.Restarts) })
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

// Kill ends the first process of each container of a pod at once, as a crash would.
func Kill(pod corev1.Pod) error {
	for _, st := range pod.Status.ContainerStatuses {
		pid, _, err := initOf(st.ContainerID)
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("kill container %s of pod %s: %w", st.Name, pod.Name, err)
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

// initOf finds the first process of a container on this host: the oldest in the
// container's cgroup. (That its PID inside is 1 does not hold with hostPID.)
func initOf(containerID string) (pid int, start string, err error) {
	_, id, _ := strings.Cut(containerID, "://")
	oldest := uint64(math.MaxUint64)
	files, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range files {
		cgroup, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(cgroup), id) {
			continue
		}
		text := startOf(filepath.Dir(file))
		began, err := strconv.ParseUint(text, 10, 64)
		if err != nil || began >= oldest {
			continue
		}
		oldest, start = began, text
		if pid, err = strconv.Atoi(filepath.Base(filepath.Dir(file))); err != nil {
			return 0, "", err
		}
	}
	if pid == 0 {
		err = fmt.Errorf("no process of container %s on this host", id)
	}
	return pid, start, err
}

// startOf is when a process started, in clock ticks since boot; "" if it is
// gone.
func startOf(dir string) string {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return ""
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[19]
}

// BackOn waits until the container that took a killed one's place serves a
// version, and says how long that took from now.
func (s *Stage) BackOn(ctx context.Context, victim Life, version string, limit time.Duration) (time.Duration, error) {
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

// ResidentMemory is that of a container's first process, in bytes.
func ResidentMemory(containerID string) (int, error) {
	pid, _, err := initOf(containerID)
	if err != nil {
		return 0, err
	}
	pages, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	resident, err := strconv.Atoi(strings.Fields(string(pages))[1])
	return resident * os.Getpagesize(), err
}

// CPUTime is what a container's first process has taken so far, to 10 ms.
func CPUTime(containerID string) (time.Duration, error) {
	pid, _, err := initOf(containerID)
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
