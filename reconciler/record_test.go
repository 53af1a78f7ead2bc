package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
)

func testStatus(name string, updated int) api.HotPatchStatus {
	return api.HotPatchStatus{
		APIVersion: api.APIVersion, Kind: api.KindHotPatchStatus,
		Metadata: api.Metadata{Namespace: "default", Name: name},
		Cluster:  "box", Source: api.Source{Commit: "c1"}, Revision: "r2", Phase: api.PhaseProgressing,
		Counts: api.Counts{Desired: 8, Updated: updated, Total: 8},
	}
}

func results(statuses ...api.HotPatchStatus) map[string]result {
	all := map[string]result{}
	for _, s := range statuses {
		all["default/"+s.Metadata.Name] = result{status: s, subject: s.Metadata.Name + ": subject"}
	}
	return all
}

func writtenBefore(statuses ...api.HotPatchStatus) map[string]api.HotPatchStatus {
	all := map[string]api.HotPatchStatus{}
	for _, s := range statuses {
		all["default/"+s.Metadata.Name] = s
	}
	return all
}

func TestOnlyNewMeaningIsCommitted(t *testing.T) {
	r := &recorder{cluster: "box"}
	same := testStatus("game", 5)
	same.Source.Commit, same.Since = "c2", time.Now()
	for name, c := range map[string]struct {
		before map[string]api.HotPatchStatus
		after  map[string]result
		want   string
	}{
		"nothing new":         {writtenBefore(testStatus("game", 5)), results(testStatus("game", 5)), ""},
		"same for a commit":   {writtenBefore(testStatus("game", 5)), results(same), ""},
		"one more pod":        {writtenBefore(testStatus("game", 5)), results(testStatus("game", 6)), "game: subject"},
		"first of all":        {writtenBefore(), results(testStatus("game", 0)), "game: subject"},
		"one of two":          {writtenBefore(testStatus("a", 1), testStatus("b", 1)), results(testStatus("a", 1), testStatus("b", 2)), "b: subject"},
		"two":                 {writtenBefore(testStatus("a", 1), testStatus("b", 1)), results(testStatus("a", 2), testStatus("b", 2)), "a: subject; b: subject"},
		"one is gone":         {writtenBefore(testStatus("a", 1), testStatus("b", 1)), results(testStatus("a", 1)), "b: removed from Git, its 8 pods stay as they are"},
		"nothing, ever":       {writtenBefore(), nil, ""},
		"gone and came again": {writtenBefore(), results(testStatus("b", 1)), "b: subject"},
	} {
		t.Run(name, func(t *testing.T) {
			change, next, err := r.change(t.Context(), c.before, c.after)
			if err != nil {
				t.Fatal(err)
			}
			if len(change.Files) == 0 {
				change.Subject = ""
			}
			if change.Subject != c.want {
				t.Errorf("subject %q, want %q", change.Subject, c.want)
			}
			if again, _, _ := r.change(t.Context(), next, c.after); len(again.Files) > 0 {
				t.Errorf("committed twice: %v", again.Files)
			}
		})
	}
}

func TestCommitSaysWhatMachinesNeed(t *testing.T) {
	r := &recorder{cluster: "box"}
	change, _, err := r.change(t.Context(), writtenBefore(testStatus("old", 1)), results(testStatus("a", 1), testStatus("b", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"Source-Commit", "c1"}, {"Revision", "r2"}, {"Cluster", "box"}}
	if !slices.Equal(change.Trailers, want) {
		t.Errorf("trailers %v, want %v", change.Trailers, want)
	}
	if content, ok := change.Files["clusters/box/default/old.yaml"]; !ok || content != nil {
		t.Errorf("the removed one's record is kept: %q", content)
	}
	if !strings.Contains(string(change.Files["clusters/box/default/a.yaml"]), "phase: Progressing") {
		t.Errorf("the record is not there: %v", change.Files)
	}
	whole, err := change.Restore()
	if err != nil || len(whole) != 2 || string(whole["clusters/box/default/b.yaml"]) != string(change.Files["clusters/box/default/b.yaml"]) {
		t.Errorf("if the branch was lost it gets %v, %v", whole, err)
	}
	if change.Subject != "a: subject; b: subject; old: removed from Git, its 8 pods stay as they are" {
		t.Errorf("subject %q", change.Subject)
	}
}

func TestLongNewsGoToTheBody(t *testing.T) {
	long := strings.Repeat("long ", 15)
	subject, body := words([]string{"a: " + long, "b: " + long})
	if subject != "2 HotPatches changed" || body != "a: "+long+"\nb: "+long+"\n" {
		t.Errorf("subject %q, body %q", subject, body)
	}
}

// countingBranch keeps commits, while it is not away.
type countingBranch struct {
	mu      sync.Mutex
	commits []gitsource.Change
	away    error
	refused int
}

func (b *countingBranch) Read(context.Context, string) (map[string][]byte, error) { return nil, nil }

func (b *countingBranch) Moved(context.Context) (bool, error) { return false, nil }

func (b *countingBranch) Commit(_ context.Context, change gitsource.Change) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away != nil {
		b.refused++
		return "", b.away
	}
	b.commits = append(b.commits, change)
	return "c", nil
}

func (b *countingBranch) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.commits)
}

func (b *countingBranch) goes(away error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// A Git server that is away for hours is asked no more than it needs, and has one
// commit of the last that was observed once it is back.
func TestHoursWithoutAGitServerEndInOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		branch := &countingBranch{}
		branch.goes(errors.New("connection refused"))
		r := &recorder{branch: branch, cluster: "box", metrics: newMetrics(), wake: newTrigger(), written: writtenBefore()}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.record(ctx); close(ended) }()
		const hours = 6
		for minute := range hours * 60 {
			news := results(testStatus("game", minute%8), testStatus(fmt.Sprintf("game-%d", minute%50), 1))
			for range 10 { // webhooks and pods that change, say
				r.submit(news, true)
				time.Sleep(6 * time.Second)
			}
		}
		if branch.count() != 0 || r.holdup() == nil {
			t.Errorf("%d commits while nobody takes them, held up by %v", branch.count(), r.holdup())
		}
		if most := int(hours*time.Hour/lastRetry)*5/4 + 10; branch.refused > most || branch.refused < hours {
			t.Errorf("%d attempts in %d hours, want at most %d", branch.refused, hours, most)
		}
		last := testStatus("game", 8)
		last.Phase = api.PhaseComplete
		r.submit(results(last), true)
		branch.goes(nil)
		time.Sleep(2 * lastRetry)
		if branch.count() != 1 || r.holdup() != nil {
			t.Fatalf("%d commits once it is back, held up by %v", branch.count(), r.holdup())
		}
		if files := branch.commits[0].Files; len(files) != 1 || !strings.Contains(string(files["clusters/box/default/game.yaml"]), "phase: Complete") {
			t.Errorf("the commit has %q", files)
		}
		cancel()
		<-ended
	})
}

func TestProgressIsGatheredAndEndsAreNot(t *testing.T) {
	branch := &countingBranch{}
	r := &recorder{branch: branch, cluster: "box", metrics: newMetrics(), wake: newTrigger(), written: writtenBefore()}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { r.record(ctx); close(ended) }()
	for updated := range 8 {
		r.submit(results(testStatus("game", updated)), true)
		time.Sleep(10 * time.Millisecond)
	}
	if n := branch.count(); n != 0 {
		t.Errorf("%d commits of progress in a moment", n)
	}
	for deadline := time.Now().Add(2 * progressPace); branch.count() < 1 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := branch.count(); n != 1 {
		t.Errorf("%d commits of progress that goes on, want one", n)
	}
	done := testStatus("game", 8)
	done.Phase = api.PhaseComplete
	r.submit(results(done), true)
	for deadline := time.Now().Add(progressPace / 2); branch.count() < 2 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := branch.count(); n != 2 {
		t.Errorf("%d commits, want the end at once", n)
	}
	for i := range 8 { // agents look at one pod after the other
		done.Pods = append(slices.Clone(done.Pods), api.PodRow{Name: fmt.Sprint(i)})
		r.submit(results(done), true)
		time.Sleep(10 * time.Millisecond)
	}
	if n := branch.count(); n != 2 {
		t.Errorf("%d commits of single pods in a moment", n-2)
	}
	for deadline := time.Now().Add(2 * progressPace); branch.count() < 3 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := branch.count(); n != 3 {
		t.Errorf("%d commits of single pods, want one", n-2)
	}
	cancel()
	<-ended
}
