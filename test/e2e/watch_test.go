package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// turns are a guest's pods as they were told of revisions, one after the other. The API
// server tells of each change in its order: whoever looked now and then would miss two
// that change at once.
type turns struct {
	*guest
	mu     sync.Mutex
	pods   map[string]corev1.Pod
	told   []string // "0", "1" by the ordinal, and ", and back" where it is another revision
	wish   string   // the revision that was told last
	atOnce int      // as many as were changing together
}

// watch begins now, and ends with the test.
func (g *guest) watch() *turns {
	g.Helper()
	t := &turns{guest: g, pods: map[string]corev1.Pod{}}
	pods := on.Kube.CoreV1().Pods(stage.Namespace)
	those := metav1.ListOptions{LabelSelector: "app=" + g.name}
	list, err := pods.List(g.ctx, those)
	g.must(err)
	for _, pod := range list.Items {
		t.pods[pod.Name] = pod
	}
	those.ResourceVersion = list.ResourceVersion
	watch, err := pods.Watch(g.ctx, those)
	g.must(err)
	g.Cleanup(watch.Stop)
	go func() {
		for event := range watch.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok {
				t.becomes(*pod)
			}
		}
	}()
	return t
}

func (t *turns) becomes(pod corev1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, now := desired(t.pods[pod.Name]), desired(pod)
	t.pods[pod.Name] = pod
	if now.Revision != before.Revision {
		if t.wish != "" && t.wish != now.Revision {
			t.told = append(t.told, "and back")
		}
		t.wish = now.Revision
		t.told = append(t.told, strings.TrimPrefix(pod.Name, t.name+"-"))
	}
	changing := 0
	for _, pod := range t.pods {
		if isChanging(pod) {
			changing++
		}
	}
	t.atOnce = max(t.atOnce, changing)
}

// were waits until all were told, in words, and says what was not as it should be.
func (t *turns) were(atOnce int, order string) {
	t.Helper()
	t.must(stage.Eventually(t.ctx, limit, func(context.Context) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		if got := strings.ReplaceAll(strings.Join(t.told, " "), " and", ", and"); got != order {
			return fmt.Errorf("the pods of %s were told %s; want %s", t.name, got, order)
		}
		return nil
	}))
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.atOnce != atOnce {
		t.Errorf("%d pods of %s were changing at once, want %d", t.atOnce, t.name, atOnce)
	}
}

// desired is what a pod was told to be.
func desired(pod corev1.Pod) (d api.Desired) {
	json.Unmarshal([]byte(pod.Annotations[api.DesiredAnnotation]), &d)
	return d
}

// isChanging: told of a revision, and not seen there.
func isChanging(pod corev1.Pod) bool {
	told := desired(pod)
	seen, err := stage.Observed(pod)
	if err != nil || seen.Revision != told.Revision {
		return told.Revision != ""
	}
	for _, c := range seen.Containers {
		if !c.State.Done() {
			return true
		}
	}
	return false
}
