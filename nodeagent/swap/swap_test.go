package swap_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

func TestSwapsUnderLoadDropNothing(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	before := mounts(t, c)
	stop, clients := make(chan struct{}), sync.WaitGroup{}
	for range 4 {
		conn := c.Dial(t)
		clients.Go(func() { load4ever(t, conn, stop) })
	}
	for i := range 12 {
		want := []string{"v2", "v3", "v1"}[i%3]
		result := do(t, request(t, c, v[want]))
		if got := views(t, c); got != want {
			t.Fatalf("swap %d: the container sees %s, not %s", i, got, want)
		}
		t.Logf("%d threads stopped for %s, %s in all", result.Stopped, result.StopTime, result.Total)
		if result.Stopped < 2 || result.StopTime == 0 {
			t.Errorf("nothing was stopped: %+v", result)
		}
	}
	close(stop)
	clients.Wait()
	if after := mounts(t, c); !slices.Equal(sorted(before), sorted(after)) {
		t.Errorf("mounts before\n%s\nafter\n%s", before, after)
	}
	if task := inspect(t, c); task.PID != c.PID {
		t.Errorf("process 1 was %d and is %d", c.PID, task.PID)
	}
}

func load4ever(t *testing.T, conn *runtimetest.Conn, stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			if n < 100 {
				t.Errorf("only %d questions were asked", n)
			}
			return
		default:
		}
		if answer, err := conn.Ask("read /version"); err != nil || !strings.HasPrefix(answer, "v") {
			t.Errorf("question %d: %q %v", n, answer, err)
			return
		}
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestKilledAtAnyStepIsWhollyOldOrNew(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Mounts: dirBinds(t)})
	before := sorted(mounts(t, c))
	conn := c.Dial(t)
	conn.Must(t, "write /sub/mine written")
	committed := false
	for i, step := range swap.Steps {
		from, to := "v1", "v2"
		kill(t, carrying(patient(t, c, to)), Death{KillAt: step})
		committed = committed || step == "pivot"
		want := from
		if committed {
			want = to
		}
		if got := views(t, c); got != want {
			t.Fatalf("killed after %s: the container is on %s, not %s", step, got, want)
		}
		if mine := conn.Must(t, "read /sub/mine"); mine != "written" {
			t.Fatalf("killed after %s, what the container wrote is %q", step, mine)
		}
		back := do(t, carrying(patient(t, c, from))) // finds and clears what was left
		if got := views(t, c); got != from {
			t.Fatalf("after %s: the next swap ended on %s", step, got)
		}
		if after := sorted(mounts(t, c)); !slices.Equal(before, after) {
			t.Fatalf("after %s, mounts were\n%s\nand are\n%s", step, before, after)
		}
		if answer := conn.Must(t, "read /version"); answer != from {
			t.Fatalf("after %s the old connection reads %s", step, answer)
		}
		t.Logf("%d killed after %s, then swapped in %s", i, step, back.Total)
	}
}

func TestGivenUpBeforeThePivotChangesNothing(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	before := mounts(t, c)
	for _, step := range swap.Steps[:slices.Index(swap.Steps, "pivot")] {
		ctx, cancel := context.WithCancel(context.Background())
		req := carrying(request(t, c, v["v2"]))
		req.At = func(at string) {
			if at == step {
				cancel()
			}
		}
		_, err := swap.Do(ctx, req)
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "nothing was changed") {
			t.Fatalf("given up after %s: %v", step, err)
		}
		if got := views(t, c); got != "v1" {
			t.Fatalf("given up after %s, the container is on %s", step, got)
		}
		if after := mounts(t, c); !slices.Equal(before, after) {
			t.Fatalf("given up after %s, mounts were\n%s\nand are\n%s", step, before, after)
		}
	}
}

func TestOfTwoAgentsOneWins(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	first, second := request(t, c, v["v2"]), request(t, c, v["v3"])
	var lost error
	first.At = func(step string) {
		if step == "stage" {
			_, lost = swap.Do(context.Background(), second)
		}
	}
	do(t, first)
	if !errors.Is(lost, swap.ErrBusy) {
		t.Errorf("the second agent got %v", lost)
	}
	if got := views(t, c); got != "v2" {
		t.Errorf("the container is on %s", got)
	}
}

func TestNothingOfUsIsLeft(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	do(t, request(t, c, v["v2"]))
	time.Sleep(50 * time.Millisecond)
	files := count(t, "/proc/self/fd")
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		do(t, request(t, c, v[[]string{"v1", "v2"}[i%2]]))
	}
	time.Sleep(50 * time.Millisecond) // the last thread is ending
	if now := count(t, "/proc/self/fd"); now > files+2 {
		t.Errorf("%d open files before ten swaps, %d after", files, now)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if ns, err := os.Readlink("/proc/self/task/" + thread.Name() + "/ns/mnt"); err == nil && ns != own {
			t.Errorf("thread %s was left in mount namespace %s, ours is %s", thread.Name(), ns, own)
		}
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
