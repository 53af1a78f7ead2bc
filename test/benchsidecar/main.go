// Command benchsidecar prints what a sidecar costs, beside what it may: its
// binary, its memory, its start, and the time from a POST to the signal; and it
// fails where that is more. It plays the main process itself: it is the one that is
// signalled.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "benchsidecar:", err)
		os.Exit(1)
	}
}

const (
	starts = 20
	posts  = 200
	many   = 1000
	kb     = 1 << 10
	mb     = 1 << 20
	gb     = 1 << 30
)

func run(ctx context.Context) error {
	b, err := newBench()
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Printf("| what | measured | target | the existing one |\n|---|---|---|---|\n")
	for _, measure := range []func(context.Context) error{b.binary, b.starts, b.idle, b.disk, b.latencies, b.manyUpdates, b.largeFile, b.crowd} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	if len(b.missed) > 0 {
		return fmt.Errorf("missed: %s", strings.Join(b.missed, "; "))
	}
	return nil
}

// within notes a target that was missed.
func (b *bench) within(ok bool, what string) {
	if !ok {
		b.missed = append(b.missed, what)
	}
}

// row prints a line of the table.
func row(what, target, existing, format string, values ...any) {
	fmt.Printf("| %s | %s | %s | %s |\n", what, fmt.Sprintf(format, values...), target, existing)
}
