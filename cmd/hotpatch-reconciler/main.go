// Command hotpatch-reconciler brings a branch of a Git repository into a
// cluster's running pods, and commits what was observed.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // windows name time zones, and the image has none

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hotpatch-reconciler:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	s, err := parse(args)
	if err != nil || s.answered {
		return err
	}
	log, err := logging.New(os.Stderr, s.logFormat, s.logLevel)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(logging.Into(context.Background(), log), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return reconciler.Run(ctx, s.options)
}
