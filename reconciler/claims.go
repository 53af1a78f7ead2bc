package reconciler

import (
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/reconciler/kube"
)

// claims are the pods that HotPatches act on, by UID. A pod follows
// one HotPatch: its annotation says what it should run, whole.
type claims map[string]string

// check tells why a wish may not have all of these pods: it has all or none. What is
// wrong with a wish alone comes first: that stays so whatever others do, who do not
// know who rests because of it.
func (c claims) check(w *wanted, pods []kube.Pod) error {
	if err := w.findContainers(pods); err != nil {
		return err
	}
	if pod, other := c.taken(pods); other != "" {
		return w.wrong("spec.target", fmt.Errorf("pod %s already follows HotPatch %s, and a pod can follow only one; narrow one of the two targets", pod.Name, other))
	}
	return nil
}

// take has pods follow a HotPatch.
func (c claims) take(key string, pods []kube.Pod) {
	for _, pod := range pods {
		c[pod.UID] = key
	}
}

// taken is a pod that follows another HotPatch, and which; "" if none does.
func (c claims) taken(pods []kube.Pod) (pod kube.Pod, by string) {
	for _, pod := range pods {
		if by := c[pod.UID]; by != "" {
			return pod, by
		}
	}
	return pod, ""
}

// free are the pods that no HotPatch follows.
func (c claims) free(pods []kube.Pod) []kube.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod kube.Pod) bool { return c[pod.UID] != "" })
}

// release lets go what a HotPatch had claimed.
func (c claims) release(t *tracked) {
	for _, uid := range t.claimed {
		if c[uid] == t.key {
			delete(c, uid)
		}
	}
	t.claimed = nil
}

func uids(pods []kube.Pod) (uids []string) {
	for _, pod := range pods {
		uids = append(uids, pod.UID)
	}
	return uids
}

// findContainers says which container no pod has.
func (w *wanted) findContainers(pods []kube.Pod) error {
	for i, container := range w.HotPatch.Spec.Containers {
		has := func(p kube.Pod) bool { return slices.Contains(p.Containers, container.Name) }
		if len(pods) > 0 && !slices.ContainsFunc(pods, has) {
			return w.wrong(fmt.Sprintf("spec.containers[%d].name", i),
				fmt.Errorf("no pod has a container %q; pod %s has %s", container.Name, pods[0].Name, strings.Join(pods[0].Containers, ", ")))
		}
	}
	return nil
}
