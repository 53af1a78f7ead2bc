package reconciler

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	later = noon.Add(time.Hour)
)

// inForce is a HotPatch that was accepted and recorded.
func inForce() *tracked {
	w := testWish("c1", "registry.example:5000/game:v2", 3)
	t := &tracked{key: "default/game", wanted: w}
	t.accepted = &accepted{wanted: *w, revision: plan.Revision{ID: "r2", Containers: []api.DesiredContainer{{Name: "main", Image: "game@sha256:2"}}}}
	t.record = t.status("box", noon, &plan.Plan{Phase: api.PhaseProgressing, Counts: api.Counts{Total: 8}})
	return t
}

func TestSinceMovesOnlyWithPhaseAndRevision(t *testing.T) {
	tr := inForce()
	if s := tr.status("box", later, &plan.Plan{Phase: api.PhaseProgressing, Counts: api.Counts{Updated: 3, Total: 8}}); !s.Since.Equal(noon) || s.Counts.Updated != 3 {
		t.Errorf("counts moved Since to %s", s.Since)
	}
	if s := tr.status("box", later, &plan.Plan{Phase: api.PhaseComplete}); !s.Since.Equal(later) {
		t.Errorf("another phase since %s", s.Since)
	}
}

func TestRevisionThatReachedEveryPodIsTheStableOne(t *testing.T) {
	tr := inForce()
	tr.record = tr.status("box", later, &plan.Plan{Phase: api.PhaseComplete, Reached: true})
	if s := tr.record.Stable; s == nil || s.Revision != "r2" || s.Containers[0].Image != "game@sha256:2" {
		t.Fatalf("stable %+v", s)
	}
	tr.accepted.commit = "c2"
	tr.record = tr.status("box", later, &plan.Plan{Phase: api.PhaseComplete, Reached: true})
	if s := tr.record.Stable.Source; s.Commit != "c1" || s.Path != "game.yaml" {
		t.Errorf("it was asked for by %+v", s)
	}
	tr.accepted.revision.ID = "r3"
	if s := tr.status("box", later, &plan.Plan{Phase: api.PhaseProgressing}); s.Stable.Revision != "r2" || s.Revision != "r3" {
		t.Errorf("stable %s while %s is on its way", s.Stable.Revision, s.Revision)
	}
}

func TestBrokenObjectKeepsWhatWasSeen(t *testing.T) {
	restarted := &tracked{key: "default/game", record: inForce().record, broken: errors.New("game.yaml: spec.rollout.partition: want a number")}
	s := restarted.status("box", later, nil)
	if s.Phase != api.PhaseDegraded || s.Message != "game.yaml: spec.rollout.partition: want a number; revision r2 stays in force" {
		t.Errorf("%s %q", s.Phase, s.Message)
	}
	if s.Revision != "r2" || s.Counts.Total != 8 || s.Images["main"] != "registry.example:5000/game:v2" {
		t.Errorf("lost from the record: %+v", s)
	}
}

func TestWaitingIsNoTrouble(t *testing.T) {
	tr := inForce()
	tr.problem = errWaiting
	if s := tr.status("box", later, &plan.Plan{Phase: api.PhaseProgressing}); s.Phase != api.PhaseProgressing || s.Message != "" {
		t.Errorf("%s %q", s.Phase, s.Message)
	}
}

func TestSubjectOfTroubleNamesTheField(t *testing.T) {
	tr := inForce()
	tr.problem = tr.wanted.wrong("spec.target", errors.New("there is no Deployment game in namespace default"))
	want := "game: spec.target: there is no Deployment game in namespace default"
	if got := tr.subject(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	tr.problem = errors.New(strings.Repeat("é", 100) + "\nmore")
	if got := tr.subject(); len(got) > maxSubject || !utf8.ValidString(got) || strings.Contains(got, "more") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// Reasons are words of others: of a condition in several lines, say.
func TestSubjectIsOneLine(t *testing.T) {
	tr := inForce()
	tr.record.Phase, tr.record.Message = api.PhaseDegraded, "analysis a failed: "+strings.Repeat("result.x < 1 &&\n", 60)
	got := tr.subject()
	if len(got) > maxLine || strings.Contains(got, "\n") || !strings.HasPrefix(got, "game: 0 of 8 on v2, trouble: analysis a failed: result.x < 1 &&; result.x") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestUnreadableWishFallsBackOnWhatIsInForce(t *testing.T) {
	tr := inForce()
	tr.wanted = testWish("c2", "registry.example:5000/game:nope", 0)
	tr.rely(errors.New("game.yaml: not YAML"))
	if tr.wanted.commit != "c1" {
		t.Errorf("the wish of %s, which Git does not hold any more, is still waited for", tr.wanted.commit)
	}
	fresh := &tracked{key: "default/game", wanted: testWish("c2", "game:nope", 0)}
	if fresh.rely(errors.New("not YAML")); fresh.wanted != nil {
		t.Error("something never in force is wanted")
	}
}
