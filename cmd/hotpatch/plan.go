package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

func showPlan(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("plan", pflag.ContinueOnError)
	where := wishFlags(flags)
	images := &pins{}
	known := record{auth: where.auth}
	flags.StringVar(&known.repo, "repo", os.Getenv("HOTPATCH_REPO"), "")
	flags.StringVar(&known.branch, "status-branch", "hotpatch-status", "")
	flags.StringVar(&known.cluster, "cluster", "", "")
	kubeconfig := flags.String("kubeconfig", defaultKubeconfig(), "")
	flags.StringSliceVar(&images.resolver.Insecure, "insecure-registries", nil, "")
	flags.StringToStringVar(&images.aliases, "registry-alias", nil, "")
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	where.place = flags.Arg(0)
	items, wrong := where.read(ctx)
	if wrong != nil && !errors.As(wrong, &invalid{}) {
		return wrong
	}
	if len(items) == 0 {
		printNothingFound(s, where.place)
		return wrong
	}
	known.repo = cmp.Or(known.repo, where.place)
	changes, err := planAll(ctx, s, items, known, images, *kubeconfig)
	if err == nil && wrong == nil && changes {
		return errChanges
	}
	return errors.Join(wrong, err)
}

// planAll plans every HotPatch that can be planned and tells whether there is
// anything to do. The error holds why others cannot.
func planAll(ctx context.Context, s Streams, items []render.Item, known record, images *pins, kubeconfig string) (bool, error) {
	records, err := known.read(ctx)
	if err != nil {
		printWithoutRecord(s, err)
	}
	cluster, err := look(kubeconfig)
	if err != nil {
		return false, err
	}
	changes := false
	var errs []error
	for _, item := range items {
		made, err := planOne(ctx, cluster, item, recordOf(records, item.HotPatch), images)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		printPlan(s, item.HotPatch, made)
		changes = changes || len(made.Actions) > 0
	}
	return changes, errors.Join(errs...)
}

// planOne decides as the reconciler would, on what it would see now.
func planOne(ctx context.Context, cluster *cluster, item render.Item, known api.HotPatchStatus, images *pins) (plan.Plan, error) {
	h := item.HotPatch
	containers, err := images.pin(ctx, item, known)
	if err != nil {
		return plan.Plan{}, err
	}
	files := pinFiles(item)
	pods, err := cluster.pods(ctx, h)
	if err != nil {
		return plan.Plan{}, &api.Error{File: item.File, Object: "HotPatch " + h.Key(), Field: "spec.target", Reason: err.Error()}
	}
	input := plan.Input{
		HotPatch: h.Metadata.Name,
		Target:   h.Spec.Target.String(),
		Revision: plan.Revision{ID: api.Revision(containers, files), Containers: containers, Files: files},
		Rollout:  h.Spec.Rollout,
		Pods:     pods,
	}
	if st := known.Stable; st != nil {
		input.Stable = &plan.Revision{ID: st.Revision, Containers: st.Containers, Files: st.Files}
	}
	return plan.Make(input), nil
}

// recordOf is the record of a HotPatch, zero if there is none.
func recordOf(records []api.HotPatchStatus, h api.HotPatch) api.HotPatchStatus {
	for _, r := range records {
		if r.Metadata.Name == h.Metadata.Name && r.Metadata.Namespace == h.Metadata.Namespace {
			return r
		}
	}
	return api.HotPatchStatus{}
}

func defaultKubeconfig() string {
	home, _ := os.UserHomeDir()
	return cmp.Or(os.Getenv("KUBECONFIG"), filepath.Join(home, ".kube", "config"))
}
