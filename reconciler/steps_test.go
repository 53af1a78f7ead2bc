package reconciler

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube"
)

// obedient is a cluster whose agents have done what they are told by the time
// that the write returns.
type obedient struct {
	mu   sync.Mutex
	pods []kube.Pod
}

func newObedient(pods int) *obedient {
	o := &obedient{}
	for i := range pods {
		o.pods = append(o.pods, runningPod(fmt.Sprintf("game-%d", i)))
	}
	return o
}

func (o *obedient) Scope(ctx context.Context, namespace string, target api.Target) (kube.Scope, error) {
	return (&scripted{}).Scope(ctx, namespace, target)
}

func (o *obedient) Watch(context.Context, []kube.Scope) {}

func (o *obedient) Pods(kube.Scope) ([]kube.Pod, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.pods), nil
}

func (o *obedient) Annotate(_ context.Context, ref kube.Ref, annotations map[string]*string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.IndexFunc(o.pods, func(p kube.Pod) bool { return p.Ref.Name == ref.Name })
	pod := &o.pods[i]
	if text := annotations[api.PrepareAnnotation]; text != nil {
		pod.Prepare, pod.Observed.Prepared = api.Prepare{}, nil
		if err := json.Unmarshal([]byte(*text), &pod.Prepare); err != nil {
			return err
		}
		for _, c := range pod.Prepare.Containers {
			pod.Observed.Prepared = append(pod.Observed.Prepared, api.PreparedImage{Container: c.Name, Image: c.Image, State: api.StateReady})
		}
	}
	if text := annotations[api.DesiredAnnotation]; text != nil {
		pod.Desired, pod.Observed = api.Desired{}, api.Observed{}
		if err := json.Unmarshal([]byte(*text), &pod.Desired); err != nil {
			return err
		}
		pod.Observed.Revision = pod.Desired.Revision
		for _, c := range pod.Desired.Containers {
			pod.Observed.Containers = append(pod.Observed.Containers, api.ObservedContainer{Name: c.Name, ContainerID: pod.ContainerIDs[c.Name], Image: c.Image, State: api.StatePatched, Time: time.Now()})
		}
	}
	return nil
}

// told is how many pods were told of an image.
func (o *obedient) told(image string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.pods {
		if len(p.Desired.Containers) > 0 && strings.Contains(p.Desired.Containers[0].Image, strings.Repeat(image, 64)) {
			n++
		}
	}
	return n
}

// staged is a HotPatch that goes by steps.
func staged(image, promote, steps string) map[string]string {
	text := manifest(image)["games/game.yaml"] + "  rollout: {maxConcurrent: 4, maxUnavailable: 4, steps: [" + steps + "]}\n"
	if promote != "" {
		text = strings.Replace(text, "{name: game,", "{name: game, annotations: {hotpatch.dev/promote: "+promote+"},", 1)
	}
	return map[string]string{"games/game.yaml": text}
}

func recorded(t *testing.T, repo *gittest.Repo) (s api.HotPatchStatus) {
	t.Helper()
	if text := repo.Show("hotpatch-status", record); text != "" {
		var err error
		if s, err = api.DecodeStatus(record, []byte(text)); err != nil {
			t.Error(err)
		}
	}
	return s
}

const twoSteps = "{partition: 3}, {pause: {}}, {partition: 2}, {pause: {}}"

// A person's commit lets the rollout go on, whoever leads by then.
func TestPromoteCommitAdvancesARecordedRollout(t *testing.T) {
	repo, cluster := gittest.NewRepo(t), newObedient(4)
	repo.Commit(staged("a", "", twoSteps), "release v1")
	_, stop := lead(t, repo, "hotpatch-status", cluster)
	at := func(step int, told int) func() bool {
		return func() bool {
			p := recorded(t, repo).Progress
			return p != nil && p.Step == step && cluster.told("a") == told
		}
	}
	eventually(t, "the pause after the first pod", at(2, 1))
	before := recorded(t, repo)
	if before.Phase != api.PhasePaused || before.Message != "step 2 of 4: paused until somebody runs hotpatch promote game" {
		t.Errorf("%s %q", before.Phase, before.Message)
	}
	if subject := repo.Log("hotpatch-status")[0]; !strings.HasSuffix(subject, "1 of 4 on aaaaaaaaaaaa (step 2 of 4)") {
		t.Errorf("subject %q", subject)
	}
	stop()

	next, _ := lead(t, repo, "hotpatch-status", cluster)
	eventually(t, "a pass", func() bool { return *next.state.Load() == nil })
	time.Sleep(100 * time.Millisecond)
	if after := recorded(t, repo); !sameMeaning(before, after) || cluster.told("a") != 1 {
		t.Errorf("the next one does not stay where it was: %+v", after)
	}

	promotion := api.Promotion{Revision: before.Revision, Step: 2}
	commit := repo.Commit(staged("a", promotion.String(), twoSteps), "promote")
	next.pollNow()
	eventually(t, "the second pause", at(4, 2))
	if s := recorded(t, repo); s.Revision != before.Revision || s.Source.Commit != commit {
		t.Errorf("promoted by %s to revision %s, was %s", s.Source.Commit, s.Revision, before.Revision)
	}
	repo.Commit(staged("a", before.Revision+"@full", twoSteps), "promote all")
	next.pollNow()
	eventually(t, "the end", func() bool { s := recorded(t, repo); return s.Phase == api.PhaseComplete && s.Progress == nil })
	if stable := recorded(t, repo).Stable; stable == nil || stable.Source.Path != "games/game.yaml" || len(stable.Source.Commit) != 40 {
		t.Errorf("stable %+v", stable)
	}
}

// Pods are no further than what Git holds: a crash finds nothing that it must
// take back.
func TestNoPodIsAheadOfTheRecord(t *testing.T) {
	repo, cluster := gittest.NewRepo(t), newObedient(4)
	repo.Commit(staged("a", "", twoSteps), "release v1")
	r, _ := lead(t, repo, "hotpatch-status", cluster)
	eventually(t, "the first pause", func() bool { p := recorded(t, repo).Progress; return p != nil && p.Step == 2 })

	repo.Server.Break(gittest.ListForPush, func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})
	repo.Server.Break(gittest.Push, func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})
	repo.Commit(staged("a", recorded(t, repo).Revision+"@2", twoSteps), "promote")
	r.pollNow()
	eventually(t, "the promotion to be in force", func() bool {
		r.recorder.mu.Lock()
		defer r.recorder.mu.Unlock()
		p := r.recorder.latest["default/game"].status.Progress
		return p != nil && p.Step == 3
	})
	time.Sleep(100 * time.Millisecond)
	if n := cluster.told("a"); n != 1 {
		t.Errorf("%d pods were told, and Git knows of step 2", n)
	}
	repo.Server.Break(gittest.ListForPush, nil)
	repo.Server.Break(gittest.Push, nil)
	eventually(t, "the second pause", func() bool { p := recorded(t, repo).Progress; return p != nil && p.Step == 4 && cluster.told("a") == 2 })
}

// A pause with a duration ends though nothing else happens.
func TestPauseEndsByItself(t *testing.T) {
	repo, cluster := gittest.NewRepo(t), newObedient(4)
	repo.Commit(staged("a", "", "{partition: 3}, {pause: {duration: 2s}}"), "release v1")
	lead(t, repo, "hotpatch-status", cluster)
	eventually(t, "the pause", func() bool {
		s := recorded(t, repo)
		return s.Progress != nil && s.Progress.Step == 2 && !s.Progress.Since.IsZero() && s.Phase == api.PhasePaused
	})
	if n := cluster.told("a"); n != 1 {
		t.Errorf("%d pods were told during the pause", n)
	}
	eventually(t, "the end", func() bool { return recorded(t, repo).Phase == api.PhaseComplete && cluster.told("a") == 4 })
}
