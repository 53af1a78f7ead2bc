package plan

// mending puts files right that are not what their pod was told to have:
// somebody replaced one by hand, or its sidecar lost it. A pod is only told of a
// revision once its files were in place, so this is no matter of waiting.
// Containers are put right by the node's agent. As these pods count as changing
// already, there are at most as many at once as may change. One that failed, and that
// the rollout goes past, has given up its place: it takes one that others do not want.
func (w *world) mending(others []Action) (actions []Action, waits bool) {
	atOnce := max(1, w.in.Rollout.MaxConcurrent.Of(len(w.pods)))
	pace := w.pace()
	for _, p := range w.pods {
		to := w.told(p)
		if p.hasFiles(to) || !p.running(to) || !w.mayGo(to) || len(actions) == atOnce {
			continue
		}
		if w.spared(p) && (len(others) > 0 || !pace.take(w, p)) {
			waits = true
			continue
		}
		actions = append(actions, Action{Kind: Apply, Pod: p.Name, UID: p.UID, Revision: to, Reason: "its files are not the ones that it was told to have"})
	}
	return actions, waits
}

// told is the revision that a pod was told to be on and that it should stay on;
// an empty one where it is to go elsewhere. Once enough have failed nobody else goes
// anywhere, and who was left with wrong files would hold a place for ever.
func (w *world) told(p Pod) Revision {
	switch goes := w.chose(p); {
	case goes && p.Desired.Revision == w.in.Revision.ID:
		return w.in.Revision
	case (!goes || w.tolerance.spent && w.failing(p) == "") && p.Desired.Revision == w.stable.ID:
		return w.stable
	case goes && w.tolerance.spent && w.failing(p) == "" && p.Desired.Revision != "":
		return p.asked()
	}
	return Revision{}
}
