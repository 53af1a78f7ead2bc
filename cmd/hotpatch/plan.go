package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// planner is what a plan is made with.
type planner struct {
	known      record
	images     pins
	kubeconfig string
}

func showPlan(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("plan", pflag.ContinueOnError)
	where := wishFlags(flags)
	p := planner{known: record{auth: where.auth}}
	p.define(flags)
	r := reviewer{planner: &p}
	flags.StringVar(&r.base, "base", "", "")
	flags.StringVar(&r.head, "head", "HEAD", "")
	flags.StringVarP(&r.format, "output", "o", "text", "")
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	if r.base != "" {
		r.live = flags.Changed("kubeconfig")
		return r.review(ctx, s, cmp.Or(flags.Arg(0), "."))
	}
	if flags.Changed("head") || flags.Changed("output") {
		return misuse{"--head and --output are for a review; --base says of what", "plan"}
	}
	where.place = flags.Arg(0)
	found, wrong := where.read(ctx)
	if wrong != nil && !errors.As(wrong, &invalid{}) {
		return wrong
	}
	if len(found.Items) == 0 {
		if wrong == nil {
			printNothingFound(s, where.place)
		}
		return wrong
	}
	p.known.repo = cmp.Or(p.known.repo, where.place)
	changes, err := p.planAll(ctx, s, found)
	if err == nil && wrong == nil && changes {
		return errChanges
	}
	return errors.Join(wrong, err)
}

func (p *planner) define(flags *pflag.FlagSet) {
	flags.StringVar(&p.known.repo, "repo", os.Getenv("HOTPATCH_REPO"), "")
	flags.StringVar(&p.known.branch, "status-branch", "hotpatch-status", "")
	flags.StringVar(&p.known.cluster, "cluster", "", "")
	flags.StringVar(&p.kubeconfig, "kubeconfig", defaultKubeconfig(), "")
	flags.StringSliceVar(&p.images.resolver.Insecure, "insecure-registries", nil, "")
	flags.StringToStringVar(&p.images.aliases, "registry-alias", nil, "")
}

// planAll plans every HotPatch that can be planned and tells whether there is
// anything to do. The error holds why others cannot.
func (p *planner) planAll(ctx context.Context, s Streams, found render.Result) (changes bool, err error) {
	records, err := p.known.read(ctx)
	if err != nil {
		printWithoutRecord(s, err)
	}
	cluster, err := look(p.kubeconfig)
	if err != nil {
		return false, err
	}
	var errs []error
	wishes := p.images.wishes(ctx, found, records)
	for _, item := range found.Items {
		made, err := p.planOne(ctx, cluster, wishes, wishes[item.HotPatch.Key()])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		printPlan(s, item.HotPatch, made)
		changes = changes || len(made.Actions) > 0
	}
	return changes, errors.Join(errs...)
}

// planOne decides as the reconciler would, on what it would see now. Admission
// controls are not asked: that is for whoever may change pods.
func (p *planner) planOne(ctx context.Context, cluster *cluster, wishes wishes, w *wished) (plan.Plan, error) {
	if w.err != nil {
		return plan.Plan{}, w.err
	}
	h := w.HotPatch
	pods, err := cluster.pods(ctx, h)
	if err != nil {
		return plan.Plan{}, &api.Error{File: w.File, Object: "HotPatch " + h.Key(), Field: "spec.target", Reason: err.Error()}
	}
	promotion, _ := h.Promotion() // what is wrong with it is told by validation
	input := plan.Input{
		HotPatch:    h.Metadata.Name,
		Target:      h.Spec.Target.String(),
		Revision:    w.revision,
		Rollout:     h.Spec.Rollout,
		Openings:    h.Spec.Rollout.Window.Openings(),
		Suspended:   h.Spec.Suspend || w.suspendedBy != "",
		SuspendedBy: w.suspendedBy,
		WaitsFor:    wishes.behind(h),
		Deferred:    w.known.DeferredSince(w.revision.ID),
		Progress:    w.known.Progress,
		Promotion:   promotion,
		Pods:        pods,
		Spec:        h.Spec.Digest(),
		Verdict:     w.known.Verdict,
		Now:         time.Now(),
	}
	if st := w.known.Stable; st != nil {
		input.Stable = &plan.Revision{ID: st.Revision, Containers: st.Containers, Files: st.Files}
	}
	made := plan.Make(input)
	if !made.Progress.Same(input.Progress) {
		input.Progress = made.Progress // which the reconciler records, and goes on
		made = plan.Make(input)
	}
	ignored, refused := p.images.ignored(ctx, w.revision.Containers, pods)
	warnings := slices.Concat(made.Warnings, ignored, slices.Collect(maps.Values(refused)))
	slices.Sort(warnings)
	made.Warnings = slices.Compact(warnings) // the agents may have said the same
	return made, nil
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
