package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// client asks one game server over one connection, and remembers when it was
// answered.
type client struct {
	player *stage.Player

	mu      sync.Mutex
	answers int
	last    time.Time     // answer
	gap     time.Duration // the longest since the window was opened
	err     error
}

func (c *client) play(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		err := c.player.Play()
		c.mu.Lock()
		now := time.Now()
		c.gap, c.last = max(c.gap, now.Sub(c.last)), now
		if c.answers++; err != nil {
			c.err = err
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// open begins a window, close says how long the longest silence in it was.
func (c *client) open() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gap, c.last = 0, time.Now()
}

func (c *client) close() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(c.gap, time.Since(c.last))
}

// load are clients on all servers.
type load struct {
	byPod map[string][]*client
	stop  chan struct{}
	done  sync.WaitGroup
}

func (b *bench) load(ctx context.Context) (*load, error) {
	l := &load{byPod: map[string][]*client{}, stop: make(chan struct{})}
	pods, err := b.Pods(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, pod := range pods {
		for i := range perServer {
			player, err := stage.Join(pod.Name, pod.Status.PodIP+":7777", fmt.Sprintf("%s-%d", pod.Name, i))
			if err != nil {
				return nil, err
			}
			c := &client{player: player, last: time.Now()}
			l.byPod[pod.Name] = append(l.byPod[pod.Name], c)
			l.done.Go(func() { c.play(l.stop) })
		}
	}
	return l, nil
}

// end ends the clients: how many answers they had, and what went wrong.
func (l *load) end() (answers int, errs []error) {
	close(l.stop)
	l.done.Wait()
	for _, clients := range l.byPod {
		for _, c := range clients {
			c.player.Leave()
			if answers += c.answers; c.err != nil {
				errs = append(errs, c.err)
			}
		}
	}
	return answers, errs
}

// silence is the longest that a client of a pod waited while f ran.
func (l *load) silence(pod string, f func() error) (longest time.Duration, err error) {
	for _, c := range l.byPod[pod] {
		c.open()
	}
	err = f()
	for _, c := range l.byPod[pod] {
		longest = max(longest, c.close())
	}
	return longest, err
}

// series are swaps of one kind, one after the other.
type series struct {
	took, silence, control []time.Duration
}

// underLoad swaps with clients connected, without and with a new program.
func (b *bench) underLoad(ctx context.Context) error {
	images := make([]string, 2)
	for i, version := range []string{"v2", "v3"} {
		var err error
		if images[i], err = stage.GameServer(version); err != nil {
			return err
		}
	}
	if err := b.pullAhead(ctx, images); err != nil {
		return err
	}
	l, err := b.load(ctx)
	if err != nil {
		return err
	}
	before, err := b.figures(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	plain, err := b.series(ctx, l, "plain", swaps, images, nil)
	if err != nil {
		return err
	}
	after, err := b.figures(ctx)
	if err != nil {
		return err
	}
	lines, err := b.logged(ctx, began)
	if err != nil {
		return err
	}
	reexec, err := b.series(ctx, l, "reexec", reexecs, images, &api.Reload{Signal: "SIGHUP"})
	if err != nil {
		return err
	}
	answers, errs := l.end()
	report(plain, reexec, lines, after.since(before), answers, errs)
	return nil
}

func (b *bench) series(ctx context.Context, l *load, name string, n int, images []string, reload *api.Reload) (s series, err error) {
	pods, err := b.Pods(ctx, app)
	if err != nil {
		return s, err
	}
	for i := range n {
		pod, revision := pods[i%len(pods)].Name, fmt.Sprintf("%s-%d", name, i)
		var took time.Duration
		silence, err := l.silence(pod, func() error {
			began := time.Now()
			if err := b.Tell(ctx, pod, revision, images[i/len(pods)%2], reload); err != nil {
				return err
			}
			end, err := b.Until(pod, stage.On(revision))
			took = end.Sub(began)
			return err
		})
		if err != nil {
			return s, err
		}
		time.Sleep(50 * time.Millisecond) // what follows a swap is over
		control, _ := l.silence(pod, func() error { time.Sleep(took); return nil })
		s.took, s.silence, s.control = append(s.took, took), append(s.silence, silence), append(s.control, control)
	}
	return s, nil
}

// pullAhead has the node have the images, and every pod patched once.
func (b *bench) pullAhead(ctx context.Context, images []string) error {
	pods, err := b.Pods(ctx, app)
	if err != nil {
		return err
	}
	for _, image := range images {
		revision := "first-" + image[len(image)-8:]
		for _, pod := range pods {
			if err := b.Tell(ctx, pod.Name, revision, image, &api.Reload{Signal: "SIGHUP"}); err != nil {
				return err
			}
			if _, err := b.Until(pod.Name, stage.On(revision)); err != nil {
				return err
			}
		}
	}
	return nil
}
