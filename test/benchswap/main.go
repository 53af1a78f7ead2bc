// Command benchswap measures the swap itself, on the cluster of `make cluster`
// and in one run: under connected clients, step by step (load), against what
// kubelet does when a pod's image is patched, and against deleting the pod
// (rivals); what becomes of containers that restart (restarts); a hundred pods of
// one node at once (crowd).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"hotpatch.dev/hotpatch/test/stage"
)

const (
	app       = "bench-server" // a Deployment that no HotPatch knows
	servers   = 4
	perServer = 2
	pause     = time.Millisecond // of a client after each answer
	swaps     = 400
	reexecs   = 40
	restarts  = 8
	killed    = 24 // more than kubelet and the agent would put up with in one pod
	many      = 100
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchswap:", err)
		os.Exit(1)
	}
}

// bench is the stage without a reconciler: what pods should run, we say.
type bench struct{ *stage.Alone }

// run measures the parts that are named, or all.
func run(ctx context.Context, named []string) (err error) {
	s, err := stage.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.StopGit()) }()
	say := func(what string) { fmt.Fprintln(os.Stderr, "stage:", what) }
	if err := s.Install(ctx, say); err != nil {
		return err
	}
	alone, err := s.Alone(ctx, app, servers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone.End(context.WithoutCancel(ctx))) }()
	b := &bench{alone}
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{{"load", b.underLoad}, {"rivals", b.rivals}, {"restarts", b.restarted}, {"crowd", b.crowded}} {
		if len(named) > 0 && !slices.Contains(named, part.name) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func median(values []time.Duration) time.Duration { return quantile(values, 0.5) }

func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
