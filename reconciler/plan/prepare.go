package plan

import (
	"fmt"
	"maps"
	"slices"

	"hotpatch.dev/hotpatch/api"
)

// prepare has every node with a pod of the target pull the images, and look at
// them, before the first swap. It returns what to ask for, and which nodes are not
// ready.
func (w *world) prepare() (ask []Action, unready []string) {
	if len(w.patched()) == 0 {
		return nil, nil
	}
	nodes, on := w.nodes()
	for _, node := range nodes {
		pods := on[node]
		if slices.ContainsFunc(pods, w.prepared) {
			continue
		}
		unready = append(unready, node)
		if !slices.ContainsFunc(pods, func(p Pod) bool { return p.Prepare.Revision == w.in.Revision.ID }) {
			ask = append(ask, Action{Kind: Prepare, Pod: pods[0].Name, UID: pods[0].UID, Revision: w.in.Revision,
				Reason: "images ahead of the first swap on node " + node})
		}
	}
	return ask, unready
}

// nodes with pods of the target, in the order of their first pod, and their pods.
func (w *world) nodes() (nodes []string, on map[string][]Pod) {
	on = map[string][]Pod{}
	for _, p := range w.pods {
		if p.Node == "" {
			continue
		}
		if len(on[p.Node]) == 0 {
			nodes = append(nodes, p.Node)
		}
		on[p.Node] = append(on[p.Node], p)
	}
	return nodes, on
}

// prepared: a pod says so of its node, was given the revision already, or was started
// on it.
func (w *world) prepared(p Pod) bool {
	return p.Desired.Revision == w.in.Revision.ID || p.born(w.in.Revision) || !slices.ContainsFunc(w.patched(), func(c api.DesiredContainer) bool {
		return p.prepared(c).State != api.StateReady
	})
}

func (p Pod) prepared(c api.DesiredContainer) api.PreparedImage {
	for _, is := range p.Observed.Prepared {
		if is.Container == c.Name && is.Image == c.Image {
			return is
		}
	}
	return api.PreparedImage{}
}

// unprepared says which node cannot have an image and why; "" if all can.
func (w *world) unprepared() string {
	for _, p := range w.pods {
		if p.Prepare.Revision != w.in.Revision.ID {
			continue
		}
		for _, c := range w.patched() {
			if is := p.prepared(c); is.State == api.StateFailed {
				return fmt.Sprintf("node %s: %s; %s", p.Node, is.Message, w.soFar())
			}
		}
	}
	return ""
}

// warnings name what of the revision's images running containers do not take.
func (w *world) warnings() []string {
	said := map[string]bool{}
	for _, p := range w.pods {
		for _, c := range w.patched() {
			ignored := p.prepared(c).Ignored
			for _, is := range p.Observed.Containers {
				if p.Observed.Revision == w.in.Revision.ID && is.Name == c.Name && is.Ignored != "" {
					ignored = is.Ignored
				}
			}
			if ignored != "" {
				said[fmt.Sprintf("container %s runs on without the new image's %s", c.Name, ignored)] = true
			}
		}
	}
	if w.zoneless() {
		said["order "+string(api.SortZoneSpread)+" takes no turns: no pod has the label topology.kubernetes.io/zone, which Kubernetes copies to pods as of 1.35"] = true
	}
	return slices.Sorted(maps.Keys(said))
}

// zoneless: an order by zones that nobody knows.
func (w *world) zoneless() bool {
	return slices.Contains(w.in.Rollout.Order, api.SortZoneSpread) && !slices.ContainsFunc(w.pods, func(p Pod) bool { return p.Zone != "" })
}

// soFar: a node may also come, and fail, in the middle of a rollout.
func (w *world) soFar() string {
	if slices.ContainsFunc(w.pods, w.given) {
		return "nothing more is changed"
	}
	return "nothing was changed"
}
