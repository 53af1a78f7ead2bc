// Command hotpatch-reconciler brings a branch of a Git repository into a
// cluster's running pods, and commits what was observed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/internal/buildinfo"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler"
)

func main() {
	err := run(os.Args[1:])
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hotpatch-reconciler:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.version {
		fmt.Println(buildinfo.Line("hotpatch-reconciler"))
		return nil
	}
	log, err := logging.New(os.Stderr, s.logFormat, s.logLevel)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(logging.Into(context.Background(), log), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return reconciler.Run(ctx, s.options)
}
