// Command hotpatch-agent swaps the roots of its node's running containers.
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
	"hotpatch.dev/hotpatch/nodeagent"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "hotpatch-agent:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	s, err := parse(args)
	if err != nil || s.done {
		return err
	}
	log, err := logging.New(os.Stderr, s.logFormat, s.logLevel)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(logging.Into(context.Background(), log), syscall.SIGTERM, os.Interrupt)
	defer stop()
	agent, err := nodeagent.New(s.options, s.kube)
	if err != nil {
		return err
	}
	return agent.Run(ctx)
}
