// Command bench measures one release to eight pods on the cluster of `make
// cluster`: by Hotpatch, and by what people do today. Every way starts from the
// same pods on v1, with the same players connected, in one run.
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
	servers   = 8
	perServer = 4
	rounds    = 3
	pause     = 20 * time.Millisecond // of a player after each answer
	patience  = 2 * time.Minute       // for one release
)

// outcome is what one release looked like.
type outcome struct {
	push     time.Duration // from the command until the server has the commit; 0: no push
	observed time.Duration // from then until all pods are seen on v2
	recorded time.Duration // and until Git says so; 0: nobody does
	longest  time.Duration // that a player waited for an answer
	dropped  int           // connections, of servers*perServer
	restarts int           // or new pods, of servers
}

// way is one way to release.
type way struct {
	name    string
	release func(context.Context, *bench) (outcome, error)
}

// bench is the stage with a clone of the repository.
type bench struct {
	*stage.Stage
	repo *stage.Repo
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	s, err := stage.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.StopGit()) }()
	say := func(what string) { fmt.Fprintln(os.Stderr, "stage:", what) }
	if err := s.Install(ctx, say); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hotpatch-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	repo, err := stage.Clone(ctx, stage.RepoURL, dir)
	if err != nil {
		return err
	}
	b := &bench{s, repo}
	fmt.Printf("One release to %d pods, %d players connected, %d rounds each, medians:\n\n", servers, servers*perServer, rounds)
	fmt.Println("| way | push, until the server has it | all pods on v2 after that | recorded in Git | connections dropped | restarts | longest answer |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, w := range []way{
		{"`git push`, webhook", byHotpatch(throughServer)},
		{"`git push`, poll every 30 s", byHotpatch(pastServer)},
		{"`kubectl set image`, rolling", bySetImage},
		{"pod image patched, kubelet restarts", byPodPatch},
	} {
		if err := b.measure(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return b.sizes(ctx)
}

// measure prints a way's row.
func (b *bench) measure(ctx context.Context, w way) error {
	var all []outcome
	for i := range rounds {
		o, err := w.release(ctx, b)
		if err != nil {
			return fmt.Errorf("round %d: %w", i+1, err)
		}
		all = append(all, o)
	}
	push, recorded := "–", "–"
	if all[0].recorded > 0 {
		push = seconds(median(all, func(o outcome) time.Duration { return o.push }))
		recorded = seconds(median(all, func(o outcome) time.Duration { return o.recorded }))
	}
	fmt.Printf("| %s | %s | %s | %s | %d of %d | %d of %d | %s |\n", w.name,
		push, seconds(median(all, func(o outcome) time.Duration { return o.observed })), recorded,
		median(all, func(o outcome) int { return o.dropped }), servers*perServer,
		median(all, func(o outcome) int { return o.restarts }), servers,
		median(all, func(o outcome) time.Duration { return o.longest }).Round(time.Millisecond))
	return nil
}

func median[T int | time.Duration](all []outcome, of func(outcome) T) T {
	var values []T
	for _, o := range all {
		values = append(values, of(o))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
