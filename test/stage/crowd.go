package stage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Crowd are players on every game server who play without pause. One whose
// connection breaks, or whom the server forgets, is an error that stays.
type Crowd struct {
	mu      sync.Mutex
	players []*Player
	errs    []error
	plays   int
	longest time.Duration // of one answer
	stop    chan struct{}
	leave   sync.Once
	done    sync.WaitGroup
}

// Gather lets n players join each pod of an app and play, with a pause after
// each answer.
func (s *Stage) Gather(ctx context.Context, app string, n int, pause time.Duration) (*Crowd, error) {
	pods, err := s.Pods(ctx, app)
	if err != nil {
		return nil, err
	}
	c := &Crowd{stop: make(chan struct{})}
	for _, pod := range pods {
		for i := range n {
			p, err := Join(pod.Name, pod.Status.PodIP+":7777", fmt.Sprintf("%s-%d", pod.Name, i))
			if err != nil {
				c.Leave()
				return nil, err
			}
			c.players = append(c.players, p)
		}
	}
	for _, p := range c.players {
		c.done.Go(func() { c.play(p, pause) })
	}
	return c, nil
}

func (c *Crowd) play(p *Player, pause time.Duration) {
	for {
		began := time.Now()
		err := p.Play()
		c.note(time.Since(began), err)
		if err != nil {
			return
		}
		select {
		case <-c.stop:
			return
		case <-time.After(pause):
		}
	}
}

func (c *Crowd) note(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plays++
	c.longest = max(c.longest, took)
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

// Report is what the players saw.
type Report struct {
	Players, Plays int
	Longest        time.Duration // that anyone waited for an answer
	Dropped        []error
}

// Report tells what they saw so far.
func (c *Crowd) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Report{len(c.players), c.plays, c.longest, slices.Clone(c.errs)}
}

// States asks each connection, opened long ago, what it is served by now. The
// players play on.
func (c *Crowd) States() ([]Answer, error) {
	if r := c.Report(); len(r.Dropped) > 0 {
		return nil, fmt.Errorf("%d of %d players were dropped; the first: %w", len(r.Dropped), r.Players, r.Dropped[0])
	}
	var answers []Answer
	for _, p := range c.players {
		a, err := p.State()
		if err != nil {
			return nil, err
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// Versions counts what the connections are served by.
func (c *Crowd) Versions() (map[string]int, error) {
	answers, err := c.States()
	count := map[string]int{}
	for _, a := range answers {
		count[a.Version]++
	}
	return count, err
}

// Leave stops the playing and ends all connections; again does nothing.
func (c *Crowd) Leave() {
	c.leave.Do(func() { close(c.stop) })
	c.done.Wait()
	for _, p := range c.players {
		p.Leave()
	}
}
