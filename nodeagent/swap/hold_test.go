package swap_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// held is a swap of a container that was created and has not started.
func held(t *testing.T, c *runtimetest.Container, image runtime.Image) swap.Request {
	return swap.Request{PID: c.PID, StageDir: t.TempDir(), CgroupDir: "/sys/fs/cgroup", StopLimit: limit, Hold: func(r *swap.Request) error {
		created, err := rt.Made(context.Background(), c.ID)
		if err != nil {
			return err
		}
		root, err := rt.PrepareRoot(context.Background(), created, image, nil)
		r.Root, r.Destinations, r.Programs = swap.Source{Filesystem: &root.Filesystem}, created.Destinations, created.Programs()
		r.KnownFilters = created.KnownFilters
		return err
	}}
}

func TestAContainerStartsOnTheNewRoot(t *testing.T) {
	var before []string
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Created: func(c *runtimetest.Container) {
		before = mounts(t, c)
		do(t, held(t, c, v["v2"]))
	}})
	if got := c.Dial(t).Must(t, "born"); got != "v2" {
		t.Errorf("the program started on %s", got)
	}
	if got := views(t, c); got != "v2" {
		t.Errorf("the container is on %s", got)
	}
	if after := mounts(t, c); !slices.Equal(sorted(before), sorted(after)) {
		t.Errorf("mounts before\n%s\nafter\n%s", before, after)
	}
	if view := look(t, c); view.OldProcesses != 0 || view.StaleDirs != 0 {
		t.Errorf("it is seen as %+v", view)
	}
}

// Killed anywhere, it starts all the same, on the one or the other.
func TestAHeldContainerStartsAfterTheAgentDied(t *testing.T) {
	for _, step := range []string{"inspect", "stop", "hold", "stage", "compose", "park", "pivot", "chdir", "release", "clear"} {
		c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Created: func(c *runtimetest.Container) {
			kill(t, held(t, c, v["v2"]), Death{KillAt: step})
		}})
		want := "v1"
		if slices.Contains([]string{"pivot", "chdir", "release", "clear"}, step) {
			want = "v2"
		}
		if born, sees := c.Dial(t).Must(t, "born"), views(t, c); born != want || sees != want {
			t.Errorf("killed after %s: started on %s, is on %s, want %s", step, born, sees, want)
		}
	}
}

func TestWhatRunsIsNotHeld(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	if _, err := swap.Do(t.Context(), held(t, c, v["v2"])); !errors.Is(err, swap.ErrStarted) {
		t.Errorf("got %v", err)
	}
	if got := views(t, c); got != "v1" {
		t.Errorf("the container is on %s", got)
	}
}

// The runtime has looked the program up already; without it nothing would start.
func TestAContainerDoesNotStartWithoutItsProgram(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref, Created: func(c *runtimetest.Container) {
		req := held(t, c, v["v2"])
		fill := req.Hold
		req.Hold = func(r *swap.Request) error {
			err := fill(r)
			r.Programs = []string{"/usr/bin/other", "/bin/other"}
			return err
		}
		if _, err := swap.Do(context.Background(), req); err == nil || !strings.Contains(err.Error(), "nothing was changed: the new image has no /usr/bin/other to start") {
			t.Errorf("got %v", err)
		}
	}})
	if got := views(t, c); got != "v1" {
		t.Errorf("the container is on %s", got)
	}
}
