package plan

import (
	"fmt"
	"slices"

	"hotpatch.dev/hotpatch/api"
)

// prepare has every node with a pod of the target pull the images before the
// first swap. It returns what to ask for, and whether all nodes are ready.
func (w *world) prepare() (ask []Action, ready bool) {
	images := w.images()
	if len(images) == 0 {
		return nil, true
	}
	ready = true
	for _, node := range w.nodes() {
		pods := w.on(node)
		if w.prepared(pods, images) {
			continue
		}
		ready = false
		if !slices.ContainsFunc(pods, func(p Pod) bool { return p.Prepare.Revision == w.in.Revision.ID }) {
			ask = append(ask, Action{Kind: Prepare, Pod: pods[0].Name, UID: pods[0].UID, Revision: w.in.Revision,
				Reason: "images ahead of the first swap on node " + node})
		}
	}
	return ask, ready
}

func (w *world) images() []string {
	var images []string
	for _, c := range w.in.Revision.Containers {
		if c.Image != "" {
			images = append(images, c.Image)
		}
	}
	return images
}

// nodes with pods of the target, in the order of their first pod.
func (w *world) nodes() []string {
	var nodes []string
	for _, p := range w.pods {
		if p.Node != "" && !slices.Contains(nodes, p.Node) {
			nodes = append(nodes, p.Node)
		}
	}
	return nodes
}

func (w *world) on(node string) []Pod {
	return slices.DeleteFunc(slices.Clone(w.pods), func(p Pod) bool { return p.Node != node })
}

// prepared: a pod of the node says so, or was given the revision already.
func (w *world) prepared(pods []Pod, images []string) bool {
	return slices.ContainsFunc(pods, func(p Pod) bool {
		return p.Desired.Revision == w.in.Revision.ID || !slices.ContainsFunc(images, func(image string) bool {
			return p.prepared(image).State != api.StateReady
		})
	})
}

func (p Pod) prepared(image string) api.PreparedImage {
	for _, is := range p.Observed.Prepared {
		if is.Image == image {
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
		for _, image := range w.images() {
			if is := p.prepared(image); is.State == api.StateFailed {
				return fmt.Sprintf("node %s: %s; %s", p.Node, is.Message, w.soFar())
			}
		}
	}
	return ""
}

// soFar: a node may also come, and fail, in the middle of a rollout.
func (w *world) soFar() string {
	if slices.ContainsFunc(w.pods, w.given) {
		return "nothing more is changed"
	}
	return "nothing was changed"
}
