package reconciler

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/gates"
)

// measured is a server that answers with a number of errors, and counts who asks.
type measured struct {
	*httptest.Server
	errors, asked atomic.Int64
}

func newMeasured(t *testing.T) *measured {
	m := &measured{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.asked.Add(1)
		fmt.Fprintf(w, `{"errors": %d}`, m.errors.Load())
	}))
	t.Cleanup(m.Close)
	return m
}

// release is a HotPatch whose rollout asks the server, once, at path.
func (m *measured) release(rollout, path string) map[string]string {
	analysis := fmt.Sprintf("name: errors, http: {url: '%s/%s'}, success: result.errors < 3", m.URL, path)
	text := manifest("a")["games/game.yaml"] + "  rollout: {maxConcurrent: 4, maxUnavailable: 4, " + strings.Replace(rollout, "ANALYSIS", analysis, 1) + "}\n"
	return map[string]string{"games/game.yaml": text}
}

// onLoopback has analyses reach the server.
func onLoopback(r *Reconciler) {
	r.analyses = newAnalyses(gates.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, ""), r.metrics, func() { r.trigger.fire(workEnded) })
}

// succeed has another reconciler lead, and looks at what it says once it has had the
// time to measure anything.
func succeed(t *testing.T, repo *gittest.Repo, cluster observer) api.HotPatchStatus {
	t.Helper()
	next, _ := lead(t, repo, "hotpatch-status", cluster, onLoopback)
	eventually(t, "a pass", func() bool { return *next.state.Load() == nil })
	time.Sleep(300 * time.Millisecond)
	return recorded(t, repo)
}

func TestAnalysisStepIsPassedOnce(t *testing.T) {
	repo, cluster, server := gittest.NewRepo(t), newObedient(4), newMeasured(t)
	repo.Commit(server.release("steps: [{partition: 3}, {analysis: {ANALYSIS, count: 2, interval: 1s}}, {pause: {}}]", ""), "release v1")
	_, stop := lead(t, repo, "hotpatch-status", cluster, onLoopback)
	eventually(t, "the measurement", func() bool {
		s := recorded(t, repo)
		return s.Progress != nil && s.Progress.Step == 2 && s.Message == "step 2 of 3: judged by analysis errors"
	})
	eventually(t, "the pause after it", func() bool { s := recorded(t, repo); return s.Phase == api.PhasePaused && s.Progress.Step == 3 })
	if cluster.told("a") != 1 || server.asked.Load() != 2 {
		t.Errorf("%d pods were told, and the server was asked %d times", cluster.told("a"), server.asked.Load())
	}
	stop()
	server.errors.Store(7)
	if s := succeed(t, repo, cluster); s.Progress.Step != 3 || server.asked.Load() != 2 {
		t.Errorf("the next one is at %+v, and the server was asked %d times", s.Progress, server.asked.Load())
	}
}

func TestFailedAnalysisStepRollsBack(t *testing.T) {
	repo, cluster, server := gittest.NewRepo(t), newObedient(4), newMeasured(t)
	server.errors.Store(7)
	repo.Commit(server.release("onFailure: Rollback, steps: [{partition: 3}, {analysis: {ANALYSIS}}]", ""), "release v1")
	lead(t, repo, "hotpatch-status", cluster, onLoopback)
	eventually(t, "the rollback", func() bool { return recorded(t, repo).Phase == api.PhaseRolledBack })
	want := "analysis errors at step 2 failed: result.errors < 3 does not hold"
	if v := recorded(t, repo).Verdict; v == nil || v.Reason != want || cluster.told("a") != 0 {
		t.Errorf("verdict %+v, %d pods are told of it", v, cluster.told("a"))
	}
}

// What pods have passed, or failed, is not measured again by whoever leads next.
func TestGatesOfPodsOutliveTheReconciler(t *testing.T) {
	for _, c := range []struct {
		errors  int64
		phase   api.Phase
		message string
	}{
		{0, api.PhasePaused, "the partition 2 keeps 2 of 4 pods on the stable revision"},
		{7, api.PhaseDegraded, "pod game-0: analysis errors failed: result.errors < 3 does not hold"},
	} {
		repo, cluster, server := gittest.NewRepo(t), newObedient(4), newMeasured(t)
		server.errors.Store(c.errors)
		repo.Commit(server.release("partition: 2, analysis: [{when: [pod], ANALYSIS}]", "$(POD_NAME)"), "release v1")
		_, stop := lead(t, repo, "hotpatch-status", cluster, onLoopback)
		over := func(s api.HotPatchStatus) []string {
			if s.Gates == nil {
				return nil
			}
			ids := slices.Clone(s.Gates.Passed)
			for id := range s.Gates.Failed {
				ids = append(ids, id)
			}
			return ids
		}
		eventually(t, "the end", func() bool { s := recorded(t, repo); return s.Phase == c.phase && len(over(s)) == 2 })
		before := recorded(t, repo)
		stop()
		server.errors.Store(7 - c.errors) // nobody is to know
		after := succeed(t, repo, cluster)
		if after.Phase != c.phase || after.Message != c.message || !sameMeaning(before, after) || server.asked.Load() != 2 {
			t.Errorf("%s %q, asked %d times: %v", after.Phase, after.Message, server.asked.Load(), over(after))
		}
	}
}
