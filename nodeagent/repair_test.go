package nodeagent

import (
	"fmt"
	goruntime "runtime"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

func TestAWorkingDirectoryMovesAlong(t *testing.T) {
	s := tell(t)
	conn := s.main.Dial(t)
	conn.Must(t, "chdir /data")
	s.agent()
	for i, version := range []string{"v2", "v3"} {
		revision := fmt.Sprint("r", i)
		s.wants(revision, api.DesiredContainer{Name: "main", Image: refs[version]})
		if is := s.sees(revision, api.StatePatched); is.StaleDirs != 0 || is.Stale != "" {
			t.Errorf("observed %+v", is)
		}
		if got := conn.Must(t, "read of"); got != version {
			t.Errorf("the working directory is that of %s", got)
		}
	}
}

// A swap whose agent died after the pivot is finished by the next one's look.
func TestWhatAKilledAgentLeftIsPutRight(t *testing.T) {
	s := tell(t)
	conn := s.main.Dial(t)
	conn.Must(t, "chdir /data")
	dieAfterPivot(s, "v2")
	if got := conn.Must(t, "read of"); got != "v1" {
		t.Fatalf("the working directory is that of %s; nothing was left to be put right", got)
	}
	s.wants("r1", api.DesiredContainer{Name: "main", Image: refs["v2"]})
	s.agent()
	if is := s.sees("r1", api.StatePatched); is.StaleDirs != 0 {
		t.Errorf("observed %+v", is)
	}
	if got := conn.Must(t, "read of"); got != "v2" {
		t.Errorf("the working directory is that of %s", got)
	}
	if view, err := swap.Look("/sys/fs/cgroup", s.main.PID); err != nil || view.Parked {
		t.Errorf("the old root is still parked: %v", err)
	}
}

// dieAfterPivot swaps in a thread that ends after the pivot, to the kernel as if
// its program was killed.
func dieAfterPivot(s *story, version string) {
	s.Helper()
	loaded, err := rt.Container(s.Context(), s.main.ID)
	if err != nil {
		s.Fatal(err)
	}
	image, err := rt.Present(s.Context(), refs[version])
	if err != nil {
		s.Fatal(err)
	}
	root, err := rt.PrepareRoot(s.Context(), loaded, image, nil)
	if err != nil {
		s.Fatal(err)
	}
	at := func(step string) {
		if step == "pivot" {
			goruntime.Goexit()
		}
	}
	go swap.Do(s.Context(), swap.Request{PID: loaded.PID, Root: swap.Source{Filesystem: &root.Filesystem}, Destinations: loaded.Destinations,
		StageDir: s.TempDir(), CgroupDir: "/sys/fs/cgroup", StopLimit: 5 * time.Second, At: at})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		view, err := swap.Look("/sys/fs/cgroup", loaded.PID)
		if err == nil && view.UpperDir == root.Filesystem.Option("upperdir") {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("the root was not changed: %v", err)
		}
	}
}

// What does not help is not done for ever: it stops the processes each time.
func TestRepairsAreFewAndFarBetween(t *testing.T) {
	s := &stragglers{}
	stale := swap.View{Stragglers: []swap.Straggler{{PID: 7}}}
	now, last := time.Now(), time.Time{}
	var pauses []time.Duration
	for range 600 {
		if s.due("c1", stale, now) {
			pauses = append(pauses, now.Sub(last))
			last = now
		}
		now = now.Add(time.Second)
	}
	if fmt.Sprint(pauses[1:]) != "[2s 4s 8s 16s 32s]" {
		t.Errorf("tried again after %v", pauses[1:])
	}
	if s.due("c1", swap.View{}, now) || !s.due("c1", stale, now) || !s.due("c2", swap.View{Parked: true}, now) {
		t.Error("it does not begin anew once nobody stays behind, or for another container")
	}
	s.swapped(t.Context(), &container{}, swap.Result{})
	if !s.due("", stale, now) {
		t.Error("it does not begin anew after a swap")
	}
}

func TestStragglersAreNamedWithTheirReason(t *testing.T) {
	s, c := &stragglers{}, &container{}
	c.rt.ID = "c1"
	view := swap.View{Stragglers: []swap.Straggler{{PID: 70, Inside: 7, Name: "worker", Why: "is behind"}, {PID: 60, Inside: 6, Name: "jail", Why: "is chrooted"}}}
	s.note(t.Context(), c, swap.Result{Stragglers: []swap.Straggler{{PID: 70, Why: "is behind: it is a 32-bit program"}}})
	for range 2 {
		if got, want := s.say("c1", view), "jail (6) is chrooted; worker (7) is behind: it is a 32-bit program"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := s.say("c2", view); got != "jail (6) is chrooted; worker (7) is behind" {
		t.Errorf("of another container: %q", got)
	}
	for len(view.Stragglers) < 8 {
		view.Stragglers = append(view.Stragglers, view.Stragglers[0])
	}
	if got := s.say("c2", view); len(got) > 200 || got[len(got)-10:] != "and 3 more" {
		t.Errorf("many are named at length: %q", got)
	}
}
