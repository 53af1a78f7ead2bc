// Command demo tells the stories of both examples on the cluster of `make
// cluster`: somebody pushes, and what runs inside the pods changes while people
// play. Each thing it claims is checked, and it ends with an error where one
// does not hold.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"hotpatch.dev/hotpatch/test/stage"
)

// limit of the whole demo, once everything is built.
const limit = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo did not end within %s", limit))
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "\n%s demo: %v\n", red("✗"), errors.Join(err, context.Cause(ctx)))
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, err := stage.Open()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0:
		d := &demo{Stage: s}
		if err := d.tell(ctx); err != nil {
			return err
		}
		fmt.Printf("\n%d claims checked, all hold.\n", d.checked)
		return nil
	case args[0] == "look-around":
		lookAround(s)
		return nil
	case args[0] == "clear":
		return s.Clear(ctx)
	}
	return fmt.Errorf("unknown word %q: want none, look-around or clear", args[0])
}

// demo is the stage, a person's clone, and what was checked so far.
type demo struct {
	*stage.Stage
	repo    *stage.Repo
	crowd   *stage.Crowd
	lives   []stage.Life // of the game servers, as they were at first
	checked int
}

func (d *demo) tell(ctx context.Context) error {
	if err := d.Install(ctx, func(what string) { fmt.Println(green("✓"), what) }); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hotpatch-demo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if d.repo, err = stage.Clone(ctx, stage.RepoURL, dir); err != nil {
		return err
	}
	defer d.leave()
	for _, chapter := range []func(context.Context) error{
		d.opening, d.fiveOfEight, d.allEight, d.nothingRestarted, d.newPage, d.revert, d.killed, d.record,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) leave() {
	if d.crowd != nil {
		d.crowd.Leave()
	}
}
