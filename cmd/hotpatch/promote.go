package main

import (
	"context"
	"strconv"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
)

// promote lets a rollout that pauses go on.
func promote(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("promote", pflag.ContinueOnError)
	full := flags.Bool("full", false, "")
	e, err := openEditor(ctx, s, flags, args)
	if err != nil {
		return err
	}
	statuses, err := e.status(ctx)
	if err != nil {
		return err
	}
	at, err := sameProgress(e.name, statuses)
	if err != nil {
		return err
	}
	steps := e.item.HotPatch.Spec.Rollout.Steps
	switch {
	case at.Step < 1 || at.Step > len(steps) || api.StepsID(steps[:at.Step-1]) != at.Passed:
		return otherSteps(e.item.File)
	case steps[at.Step-1].Pause == nil && !*full:
		return waitsForNobody(e.name, at.Step, len(steps), steps[at.Step-1])
	}
	promotion := api.Promotion{Revision: at.Revision, Step: at.Step, Full: *full}
	promoted := func(h api.HotPatch) bool {
		is, err := h.Promotion()
		return err == nil && is.String() == promotion.String()
	}
	if promoted(e.item.HotPatch) {
		printAsItIs(s, e.name, "promoted")
		return nil
	}
	files, err := e.set(ctx, strconv.Quote(promotion.String()), promoted, "metadata", "annotations", api.PromoteAnnotation)
	if err != nil {
		return err
	}
	subject, body := promoteWords(e.name, *at, len(steps), *full)
	return e.finish(ctx, s, change{files, subject, body})
}

// sameProgress is where a rollout stands; on several clusters it must be the same.
func sameProgress(name string, statuses []api.HotPatchStatus) (*api.Progress, error) {
	var at *api.Progress
	for _, st := range statuses {
		p := st.Progress
		if p == nil || p.Revision != st.Revision {
			continue
		}
		if at != nil && (at.Revision != p.Revision || at.Step != p.Step) {
			return nil, severalClusters(name)
		}
		at = p
	}
	if at == nil {
		return nil, notOnSteps(name)
	}
	return at, nil
}
