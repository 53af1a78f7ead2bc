package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/registry"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// reviewer compares two commits of a clone.
type reviewer struct {
	*planner
	base, head, format string
	live               bool     // look at the cluster
	cluster            *cluster // nil: by the record alone
	records            []api.HotPatchStatus
}

// review tells what merging head into base would change. The pods are those of the
// cluster, if there is one to look at, or of the record.
func (r *reviewer) review(ctx context.Context, s Streams, place string) error {
	show, ok := reviewFormats[r.format]
	if !ok {
		return misuse{fmt.Sprintf("output format %q: want text, markdown or json", r.format), "plan"}
	}
	clone, err := openClone(ctx, place)
	if err != nil {
		return err
	}
	found, base, head, err := r.sides(ctx, clone)
	if err != nil {
		return err
	}
	if r.live {
		if r.cluster, err = look(r.kubeconfig); err != nil {
			return err
		}
	}
	r.known.repo = cmp.Or(r.known.repo, place)
	if r.records, err = r.known.read(ctx); err != nil {
		printWithoutRecord(s, err)
	}
	if err := r.compare(ctx, &found, base, head); err != nil {
		return err
	}
	if err := show(s.Out, found); err != nil {
		return err
	}
	return found.verdict()
}

// sides are the commits as they are rendered. The base is where head went out from:
// what was merged meanwhile is not taken back by a merge.
func (r *reviewer) sides(ctx context.Context, c *clone) (found review, base, head side, err error) {
	if found.Head, err = c.resolve(ctx, r.head); err != nil {
		return found, base, head, err
	}
	if found.Base, err = c.resolve(ctx, r.base); err != nil {
		return found, base, head, err
	}
	from, err := c.git(ctx, nil, "merge-base", found.Base, found.Head)
	if err != nil {
		return found, base, head, fmt.Errorf("%s and %s have no commit in common in this clone; fetch more of their history (fetch-depth: 0)", r.base, r.head)
	}
	found.Base = strings.TrimSpace(from)
	base = sideOf(render.Render(ctx, past{ctx, c, found.Base}, c.dir))
	head = sideOf(render.Render(ctx, past{ctx, c, found.Head}, c.dir))
	return found, base, head, ctx.Err()
}

// verdict is for the exit code.
func (found review) verdict() error {
	switch {
	case len(found.Refused) > 0:
		return errRefused
	case len(found.Changes) > 0:
		return errChanges
	}
	return nil
}

// compare fills in a review.
func (r *reviewer) compare(ctx context.Context, found *review, base, head side) error {
	found.Changes, found.Refused = []reviewed{}, []refusal{}
	for _, err := range head.Errors {
		found.Refused = append(found.Refused, refusals(err)...)
	}
	for _, key := range changed(base, head) {
		for _, known := range r.recordsOf(key) {
			change, refused, err := r.one(ctx, base, head, key, known)
			if err != nil {
				return err
			}
			found.Changes = append(found.Changes, change)
			for _, one := range refused {
				if !slices.Contains(found.Refused, one) {
					found.Refused = append(found.Refused, one)
				}
			}
		}
	}
	return nil
}

// recordsOf a HotPatch, by cluster. It is reviewed once where there is none.
func (r *reviewer) recordsOf(key string) (known []api.HotPatchStatus) {
	for _, st := range r.records {
		if st.Metadata.Namespace+"/"+st.Metadata.Name == key {
			known = append(known, st)
		}
	}
	if r.cluster != nil && len(known) > 1 {
		known = known[:1] // of the one that is looked at; --cluster says which
	}
	if len(known) == 0 {
		known = []api.HotPatchStatus{{}}
	}
	return known
}

func (r *reviewer) one(ctx context.Context, base, head side, key string, known api.HotPatchStatus) (reviewed, []refusal, error) {
	before, was := base.items[key]
	after, is := head.items[key]
	change := reviewed{HotPatch: key, Cluster: known.Cluster, File: cmp.Or(after.File, before.File), Change: "changed"}
	if !is {
		change.Change = "removed"
		change.Notes = []string{"its pods stay as they are, and nothing is asked of them any more"}
		if before.HotPatch.Spec.OnDelete == api.DeleteRestore {
			change.Notes = []string{"its containers go back to their own images; onDelete is Restore"}
		}
		return change, nil, nil
	}
	from, to := map[string]edition{}, r.images(ctx, after, known)
	if was {
		from = r.images(ctx, before, known).editions
		change.Files = parts(fileEditions(before), fileEditions(after))
		change.Fields = otherFields(base.says(before), head.says(after))
	} else {
		change.Change = "added"
		change.Files = parts(nil, fileEditions(after))
	}
	to.suspendedBy = suspendedBy(head.Result, after.HotPatch.Metadata.Namespace)
	change.Containers, change.Notes, change.Holds = parts(from, to.editions), to.notes, holds(&to.wished)
	if to.err == nil {
		change.Revision = to.revision.ID
	}
	refused, err := r.follow(ctx, &change, &to.wished)
	return change, append(to.refused, refused...), err
}

// follow tells which pods would change, and what of that agents would refuse.
func (r *reviewer) follow(ctx context.Context, change *reviewed, w *wished) (refused []refusal, err error) {
	pods, seenIn, err := r.pods(ctx, w)
	if err != nil {
		return nil, err
	}
	switch seenIn {
	case "":
		change.Notes = append(change.Notes, "which pods would change is not known: there is no record of it, and no cluster was looked at")
		return nil, nil
	case seenInCluster:
		if w.err == nil {
			notes, wrong := r.planner.images.ignored(ctx, w.revision.Containers, pods)
			change.Notes, refused = append(change.Notes, notes...), w.imageConfigs(wrong)
		}
	case seenInRecord:
		change.Notes = append(change.Notes, unjudged(w.revision.Containers)...)
	}
	change.Pods = courseOf(w, pods, seenIn)
	if seenIn == seenInRecord && len(change.Pods.Order) > 1 {
		change.Notes = append(change.Notes, "the record knows no priority, age or zone of pods, which may put them in another order")
	}
	return refused, nil
}

// imageConfigs are the refusals of containers, by name.
func (w *wished) imageConfigs(wrong map[string]string) (all []refusal) {
	for i, c := range w.HotPatch.Spec.Containers {
		if why := wrong[c.Name]; why != "" {
			all = append(all, refusal{w.File, "HotPatch " + w.HotPatch.Key(), fmt.Sprintf("spec.containers[%d].imageConfig", i), why})
		}
	}
	return all
}

// unjudged says what the record alone cannot tell.
func unjudged(containers []api.DesiredContainer) (notes []string) {
	for _, c := range containers {
		if c.ImageConfig == api.ImageConfigRefuse && c.Image != "" {
			notes = append(notes, fmt.Sprintf("container %s is left alone if the new image's configuration differs from that of its own; that takes a cluster to tell (--kubeconfig)", c.Name))
		}
	}
	return notes
}

// Where pods were seen.
const (
	seenInCluster = "cluster"
	seenInRecord  = "record"
)

// pods that a wish selects, and where they were seen; "": nowhere.
func (r *reviewer) pods(ctx context.Context, w *wished) ([]plan.Pod, string, error) {
	if r.cluster != nil {
		pods, err := r.cluster.pods(ctx, w.HotPatch)
		return pods, seenInCluster, err
	}
	if w.known.Revision == "" {
		return nil, "", nil
	}
	return numbered(recordedPods(w.known), w.HotPatch.Spec.Target), seenInRecord, nil
}

// imaged is a wish with its images as people and registries call them, and with what
// is wrong with these.
type imaged struct {
	wished
	editions map[string]edition // by container
	refused  []refusal
	notes    []string
}

// images are looked up. One that a registry does not have is refused; what it does
// not tell is noted.
func (r *reviewer) images(ctx context.Context, item render.Item, known api.HotPatchStatus) *imaged {
	of := &imaged{wished: wished{Item: item, known: known}, editions: map[string]edition{}}
	var pinned []api.DesiredContainer
	for i, c := range item.HotPatch.Spec.Containers {
		image, err := known.Pinned(c), error(nil)
		if image == "" {
			image, err = r.planner.images.digest(ctx, c.Image)
		}
		_, digest, _ := strings.Cut(image, "@")
		of.editions[c.Name] = edition{c.Image, digest}
		pinned = append(pinned, c.Pinned(cmp.Or(image, c.Image)))
		switch {
		case errors.Is(err, registry.ErrMissing):
			of.refused = append(of.refused, refusal{item.File, "HotPatch " + item.HotPatch.Key(), fmt.Sprintf("spec.containers[%d].image", i), err.Error()})
		case err != nil:
			of.notes = append(of.notes, fmt.Sprintf("the digest of container %s is not known from here: %v", c.Name, err))
		}
		of.err = cmp.Or(of.err, err)
	}
	files := pinFiles(item)
	of.revision = plan.Revision{ID: api.Revision(pinned, files), Containers: pinned, Files: files}
	return of
}
