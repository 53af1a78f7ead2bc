package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// Pods name the reconciler that they follow. One that follows another's is not touched,
// and the record says whose it is; what Git asks for no more follows nobody.
func TestPodsFollowOneReconciler(t *testing.T) {
	t.Parallel()
	s := open(t)
	lodge := s.hall("lodge")
	for _, owner := range lodge.owners() {
		if owner.Namespace != stage.System || owner.HotPatch != "lodge" || owner.Repo != stage.RepoURL {
			t.Errorf("a pod follows %+v", owner)
		}
	}
	pod := lodge.pod(2)
	s.kubectl("-n", stage.Namespace, "annotate", "--overwrite", "pod", pod, api.OwnerAnnotation+
		`={"namespace":"elsewhere","hotpatch":"lodge","cluster":"other","repo":"https://git.example/other.git"}`)
	lodge.edit("game-server:v1", "game-server:v2")
	s.push("Release v2")
	s.says("lodge", "pod "+pod+" is held by another reconciler: it follows HotPatch default/lodge of https://git.example/other.git, cluster other, in namespace elsewhere")
	if got := fmt.Sprint(lodge.runs()); got != "[v1 v1 v1 v1]" {
		t.Errorf("the servers run %s", got)
	}

	s.kubectl("-n", stage.Namespace, "annotate", "pod", pod, api.OwnerAnnotation+"-")
	lodge.is(api.PhaseComplete, 4, 4, "")
	s.must(lodge.forget(s.ctx))
	s.must(stage.Eventually(s.ctx, limit, func(context.Context) error {
		for _, owner := range lodge.owners() {
			if owner != (api.Owner{}) {
				return fmt.Errorf("a pod still follows %+v", owner)
			}
		}
		return nil
	}))
}

// owners are whom the pods follow.
func (g *guest) owners() (owners []api.Owner) {
	g.Helper()
	pods, err := on.Pods(g.ctx, g.name)
	g.must(err)
	for _, pod := range pods {
		var owner api.Owner
		if text := pod.Annotations[api.OwnerAnnotation]; text != "" {
			g.must(json.Unmarshal([]byte(text), &owner))
		}
		owners = append(owners, owner)
	}
	return owners
}
