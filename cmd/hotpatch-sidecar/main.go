// Command hotpatch-sidecar puts new versions of files into the pod it runs in;
// see docs/sidecar.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar"
)

func main() {
	err := run(os.Args[1:])
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hotpatch-sidecar:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	s, err := parse(args)
	if err != nil || s.version {
		return err
	}
	log, err := logging.New(os.Stderr, s.logFormat, s.logLevel)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(logging.Into(context.Background(), log), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return sidecar.Run(ctx, s.options)
}
