// Command soak kills the agent over and over, at random moments, on the cluster
// of `make cluster`: while every game server is swapped without a pause, people
// play on all of them, and what nothing uses of images and snapshots is collected
// as fast as containerd can.
//
// It ends with an error if a container, a connection or a session was lost, if a
// container was ever on two images at once, or if anything was left behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"hotpatch.dev/hotpatch/test/stage"
)

const (
	app       = "soak-server" // a Deployment that no HotPatch knows
	servers   = 8
	perServer = 4
	pause     = 5 * time.Millisecond // of a player after each answer
)

func main() {
	kills := flag.Int("kills", 300, "how often the agent is killed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kills); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kills int) (err error) {
	s, err := stage.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.StopGit()) }()
	if err := s.Install(ctx, func(what string) { fmt.Fprintln(os.Stderr, "stage:", what) }); err != nil {
		return err
	}
	node, err := openNode()
	if err != nil {
		return err
	}
	defer node.Close()
	alone, err := s.Alone(ctx, app, servers)
	if err != nil {
		return err
	}
	err = (&soak{Alone: alone, node: node}).play(ctx, kills)
	return errors.Join(err, alone.End(context.WithoutCancel(ctx)), node.leftovers(ctx))
}

// versions that servers are swapped to; their own image is v1.
var versions = [2]string{"v2", "v3"}

// soak is one run.
type soak struct {
	*stage.Alone
	node *node
	// before are the servers as they were at first.
	before []stage.Life
}

func (s *soak) play(ctx context.Context, kills int) (err error) {
	if s.before, err = s.Lives(ctx, app, "main"); err != nil {
		return err
	}
	crowd, err := s.Gather(ctx, app, perServer, pause)
	if err != nil {
		return err
	}
	defer crowd.Leave()
	began := time.Now()
	work := s.start(ctx)
	killed := s.killAgents(ctx, kills)
	swaps, collected, err := work.end()
	if err := errors.Join(killed, err, s.check(ctx, crowd)); err != nil {
		return err
	}
	report := crowd.Report()
	fmt.Printf("%d kills of the agent in %s, %d swaps seen, %d collections of garbage: every container and all %d connections live on after %d answers; the longest took %s.\n",
		kills, time.Since(began).Round(time.Second), swaps, collected, report.Players, report.Plays, report.Longest.Round(time.Millisecond))
	return nil
}

// check looks at everything once the agent is left in peace.
func (s *soak) check(ctx context.Context, crowd *stage.Crowd) error {
	after, err := s.Lives(ctx, app, "main")
	if err != nil {
		return err
	}
	versions, err := crowd.Versions() // fails if anyone was dropped, or forgotten
	if err != nil {
		return err
	}
	if len(versions) != 1 {
		err = fmt.Errorf("all servers were asked for the same version at last; players are served by %v", versions)
	}
	return errors.Join(err, stage.SameLives(s.before, after), parked(after))
}

// parked says where a killed swap has left a tree.
func parked(lives []stage.Life) error {
	for _, life := range lives {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", life.HostPID))
		if err != nil {
			return err
		}
		if at := stage.MountedAt(string(mounts), "/proc/tty"); at != "" {
			return fmt.Errorf("pod %s still has a root parked: %s", life.Pod, at)
		}
	}
	return nil
}
