package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/render"
)

func wishFor(name string, dependsOn ...string) render.Item {
	h := api.HotPatch{Metadata: api.Metadata{Namespace: "default", Name: name}}
	h.Spec.Containers = []api.Container{{Name: "main", Image: "registry.example/game@sha256:" + strings.Repeat("a", 64)}}
	h.Spec.DependsOn = dependsOn
	return render.Item{HotPatch: h, File: name + ".yaml"}
}

// What a plan says of others is what the reconciler would: they must be recorded
// as Complete on what the folder asks for.
func TestPlansKnowWhatOthersAndSuspensionsHold(t *testing.T) {
	freeze := render.Suspension{Suspension: api.Suspension{Metadata: api.Metadata{Name: "freeze"}, Spec: api.SuspensionSpec{Namespaces: []string{"default"}, Reason: "night"}}}
	found := render.Result{Items: []render.Item{wishFor("db"), wishFor("game", "db", "prod/cache")}, Suspensions: []render.Suspension{freeze}}
	var images pins
	before := images.wishes(context.Background(), found, nil)
	game := before["default/game"]
	if got := before.behind(game.HotPatch); !slices.Equal(got, []string{"db", "prod/cache"}) {
		t.Errorf("nothing is recorded, and it waits for %q", got)
	}
	if game.err != nil || game.suspendedBy != "Suspension freeze (night)" {
		t.Errorf("%v, suspended by %q", game.err, game.suspendedBy)
	}
	complete := api.HotPatchStatus{Metadata: api.Metadata{Namespace: "default", Name: "db"}, Phase: api.PhaseComplete, Revision: before["default/db"].revision.ID}
	if got := images.wishes(context.Background(), found, []api.HotPatchStatus{complete}).behind(game.HotPatch); !slices.Equal(got, []string{"prod/cache"}) {
		t.Errorf("db is Complete, and it waits for %q", got)
	}
	complete.Revision = "another"
	if got := images.wishes(context.Background(), found, []api.HotPatchStatus{complete}).behind(game.HotPatch); !slices.Equal(got, []string{"db", "prod/cache"}) {
		t.Errorf("db is Complete on something else, and it waits for %q", got)
	}
}
