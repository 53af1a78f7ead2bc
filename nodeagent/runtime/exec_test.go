package runtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

func refuseKeysOf(t *testing.T, id string) snapshots.WalkFunc {
	return func(_ context.Context, info snapshots.Info) error {
		if strings.HasPrefix(info.Name, id) {
			t.Errorf("snapshot %s is left of a container that is gone", info.Name)
		}
		return nil
	}
}

func TestExecSaysHowItEnded(t *testing.T) {
	c := load(t, node.Run(t, runtimetest.Spec{Image: game}))
	for _, run := range []struct{ command, want string }{
		{"true", ""},
		{"is /version game", ""},
		{"is /version other", `"/server is /version other" ended with 1: /version is "game"`},
		{"fail", "ended with 3: it went wrong"},
		{"babble", "the end"},
		{"leave", "left one behind"},
	} {
		began := time.Now()
		err := rt.Exec(t.Context(), c, append([]string{"/server"}, strings.Fields(run.command)...))
		if run.want == "" && err != nil || run.want != "" && (err == nil || !strings.Contains(err.Error(), run.want)) {
			t.Errorf("%s: got %v", run.command, err)
		}
		if err != nil && len(err.Error()) > 5000 {
			t.Errorf("%s: the error has %d bytes", run.command, len(err.Error()))
		}
		if took := time.Since(began); took > runtimetest.Limit(10*time.Second) {
			t.Errorf("%s took %s", run.command, took)
		}
	}
	if err := rt.Exec(t.Context(), c, []string{"/none", "such"}); err == nil || !strings.Contains(err.Error(), `"/none such"`) {
		t.Errorf("a command that is not there: %v", err)
	}
}

func TestExecKillsWhatDoesNotEnd(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: game})
	ctx, cancel := context.WithTimeout(t.Context(), runtimetest.Limit(300*time.Millisecond))
	defer cancel()
	err := rt.Exec(ctx, load(t, c), []string{"/server", "sleep"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `"/server sleep"`) {
		t.Errorf("got %v", err)
	}
	loaded, err := node.Client.LoadContainer(runtimetest.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	task, err := loaded.Task(runtimetest.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pids, err := task.Pids(runtimetest.Context())
	if err != nil || len(pids) != 1 || int(pids[0].Pid) != c.PID {
		t.Errorf("running are %v, %v; want only %d", pids, err, c.PID)
	}
}

func TestStartsAreToldAlsoAfterARestart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	starts := rt.Events(ctx)
	time.Sleep(runtimetest.Limit(200 * time.Millisecond)) // it subscribes
	told(t, starts, runtimetest.Limit(time.Second), 1)
	restart(t)
	told(t, starts, runtimetest.Limit(time.Second), 6) // it finds out, waits a second, and subscribes again
	cancel()
	for end := time.After(runtimetest.Limit(5 * time.Second)); ; {
		select {
		case _, open := <-starts:
			if !open {
				return
			}
		case <-end:
			t.Fatal("still open after its context ended")
		}
	}
}

// told starts containers until the events tell of one within the limit.
func told(t *testing.T, events <-chan runtime.Event, limit time.Duration, tries int) {
	t.Helper()
	for range tries {
		if heard(events, node.Run(t, runtimetest.Spec{Image: game}), limit) {
			return
		}
	}
	t.Fatalf("%d starts and not one was told of within %s", tries, limit)
}

// heard tells whether a container's stages were told, in their order.
func heard(events <-chan runtime.Event, c *runtimetest.Container, limit time.Duration) bool {
	want := []runtime.Event{{c.ID, 0, runtime.Made}, {c.ID, c.PID, runtime.Created}, {c.ID, c.PID, runtime.Started}}
	for end := time.After(limit); len(want) > 0; {
		select {
		case e := <-events:
			if e == want[0] {
				want = want[1:]
			}
		case <-end:
			return false
		}
	}
	return true
}
