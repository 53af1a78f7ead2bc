package reconciler

import (
	"errors"
	"reflect"
	"slices"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// leave has a HotPatch that was taken out of Git want its pods on their own images,
// as many at once as if it said nothing of that. All it needs is in the record.
func (t *tracked) leave(commit, author string) {
	h := api.HotPatch{APIVersion: api.APIVersion, Kind: api.KindHotPatch,
		Metadata: api.Metadata{Namespace: t.record.Metadata.Namespace, Name: t.record.Metadata.Name},
		Spec:     api.Spec{Target: *t.record.Restore, OnDelete: api.DeleteRestore}}
	for _, c := range t.record.Containers {
		h.Spec.Containers = append(h.Spec.Containers, api.Container{Name: c.Name, Reload: c.Reload})
	}
	h.Default()
	t.wanted, t.broken, t.leaves = &wanted{render.Item{HotPatch: h, File: t.record.Source.Path}, commit, author}, nil, true
}

// succeeds tells whether another HotPatch has the same target now, as after a change
// of names. It may take a while until it has its pods, and they are to go there at once.
func (r *rendered) succeeds(t *tracked) bool {
	return slices.ContainsFunc(r.Items, func(i render.Item) bool {
		return i.HotPatch.Metadata.Namespace == t.record.Metadata.Namespace && reflect.DeepEqual(i.HotPatch.Spec.Target, *t.record.Restore)
	})
}

// left tells whether nothing is to be taken back any more, and Git holds that.
func (s sight) left(recorded api.HotPatchStatus) bool {
	var missing noTarget
	if errors.As(s.problem, &missing) {
		return true
	}
	return s.problem == nil && s.accepted != nil && s.accepted.sameWish(s.wanted) &&
		(len(s.pods) == 0 || backOnOwn(s.record) && backOnOwn(recorded))
}

// backOnOwn tells whether all pods were seen on their own images.
func backOnOwn(s api.HotPatchStatus) bool {
	patched := func(c api.DesiredContainer) bool { return c.Image != "" }
	return s.Phase == api.PhaseComplete && len(s.Containers) > 0 && !slices.ContainsFunc(s.Containers, patched)
}
