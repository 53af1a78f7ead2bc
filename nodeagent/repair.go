package nodeagent

import (
	"context"
	"slices"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

const (
	// repairs is how often a container's processes are stopped, after a swap or
	// the agent's start, to move what stayed behind: what does not help by then
	// never will.
	repairs = 6
	// repairPause is the time before the first of them, doubled after each.
	repairPause = time.Second
)

// stragglers remembers why processes stayed behind, and how often that was tried
// to be changed. An agent that comes back tries anew.
type stragglers struct {
	mutex sync.Mutex
	of    map[string]*left // by ID of the container
}

type left struct {
	why         map[int]string // by PID
	tries       int
	next, known time.Time
}

// repair moves working directories that a swap has left behind: because its agent
// was killed, or because a process could not be asked then. It comes before the
// reload that such an agent may owe. Failing to is no failure of the pod: what is
// left is observed, and it is tried again.
func (a *Agent) repair(ctx context.Context, c *container) error {
	if do, _ := decide(c.want, c.is); do != stay { // a swap moves them too
		return nil
	}
	if !a.stragglers.due(c.rt.ID, c.view, time.Now()) {
		return nil
	}
	a.swaps <- struct{}{}
	result, err := swap.Repair(ctx, swap.Request{PID: c.rt.PID, CgroupDir: a.options.CgroupDir, StopLimit: stopLimit,
		KnownFilters: c.rt.KnownFilters, At: a.options.At})
	<-a.swaps
	if err != nil {
		logging.From(ctx).WithField("container", c.want.Name).WithError(err).Warn("processes stay behind until they are looked at again")
		return nil
	}
	a.stragglers.note(ctx, c, result)
	return a.look(ctx, c)
}

// due tells whether it is time to stop those who stayed behind once more.
func (s *stragglers) due(id string, view swap.View, now time.Time) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(view.Stragglers) == 0 && !view.Parked {
		delete(s.of, id)
		return false
	}
	of := s.get(id, now)
	if of.tries == repairs || now.Before(of.next) {
		return false
	}
	of.tries++
	of.next = now.Add(repairPause << of.tries)
	return true
}

// swapped begins anew: a swap leaves others behind, for other reasons.
func (s *stragglers) swapped(ctx context.Context, c *container, result swap.Result) {
	s.mutex.Lock()
	delete(s.of, c.rt.ID)
	s.mutex.Unlock()
	s.note(ctx, c, result)
}

// note takes in what a swap or a repair has said.
func (s *stragglers) note(ctx context.Context, c *container, result swap.Result) {
	if result.Moved > 0 || len(result.Stragglers) > 0 {
		logging.From(ctx).WithField("container", c.want.Name).Infof("%d working directories moved along; left behind: %s",
			result.Moved, orNobody(swap.Stragglers(result.Stragglers)))
	}
	if len(result.Stragglers) == 0 {
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	of := s.get(c.rt.ID, time.Now())
	of.why = map[int]string{}
	for _, straggler := range result.Stragglers {
		of.why[straggler.PID] = straggler.Why
	}
}

func orNobody(names string) string {
	if names == "" {
		return "nobody"
	}
	return names
}

// get is the entry of a container. Those of containers that are gone are not
// asked for any more.
func (s *stragglers) get(id string, now time.Time) *left {
	for other, of := range s.of {
		if now.Sub(of.known) > time.Hour {
			delete(s.of, other)
		}
	}
	if s.of == nil {
		s.of = map[string]*left{}
	}
	if s.of[id] == nil {
		s.of[id] = &left{}
	}
	s.of[id].known = now
	return s.of[id]
}

// say names who stayed behind, with the reason that the last try has found.
func (s *stragglers) say(id string, view swap.View) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	all := slices.Clone(view.Stragglers)
	for i, straggler := range all {
		if of := s.of[id]; of != nil && of.why[straggler.PID] != "" {
			all[i].Why = of.why[straggler.PID]
		}
	}
	return swap.Stragglers(all)
}
