package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
)

// watcher tells what is new about a HotPatch.
type watcher struct {
	*trail
	streams Streams
	source  *gitsource.Source
	commit  string // that must have asked for it
	known   string // tip of the status branch
	told    string
}

// watch follows a HotPatch until its rollout ends.
func watch(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	w := &watcher{trail: trailFlags(flags), streams: s}
	flags.StringVar(&w.commit, "commit", "", "")
	interval := flags.Duration("interval", 2*time.Second, "")
	timeout := flags.Duration("timeout", time.Hour, "")
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	if w.name = flags.Arg(0); w.name == "" {
		return misuse{"which HotPatch?", "watch"}
	}
	var err error
	if w.source, err = w.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *timeout, notWithin(w.name, *timeout))
	defer cancel()
	return w.follow(ctx, *interval)
}

// follow looks again and again. What is wrong at the first look is wrong, unless
// there need be no record yet; later a server may be away for a while.
func (w *watcher) follow(ctx context.Context, interval time.Duration) error {
	for first := w.commit == ""; ; first = false {
		ended, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case ended || err != nil && first:
			return err
		case err != nil:
			printError(w.streams, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(interval):
		}
	}
}

// look tells what is new, and whether it ended; the error is then how.
func (w *watcher) look(ctx context.Context) (ended bool, err error) {
	snapshot, err := w.source.Newer(ctx, w.known)
	if err != nil || snapshot == nil {
		return false, err
	}
	w.known = snapshot.Commit
	st, err := w.in(snapshot)
	if err != nil || !strings.HasPrefix(st.Source.Commit, w.commit) {
		return false, err
	}
	if words := watchWords(st); words != w.told {
		fmt.Fprintln(w.streams.Out, words)
		w.told = words
	}
	switch st.Phase {
	case api.PhaseComplete:
		return true, nil
	case api.PhaseDegraded, api.PhaseRolledBack:
		return true, errTrouble
	}
	return false, nil
}
