// Command hotpatch is for people and their CI: it checks what a repository asks
// for, tells what would change on a cluster and why, shows what was observed, and
// makes the commits that a rollout waits for. It changes no cluster. As
// kubectl-hotpatch it is a plugin of kubectl.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	_ "time/tzdata" // windows name time zones, which not every machine knows
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	streams := Streams{Out: os.Stdout, Err: os.Stderr, Program: filepath.Base(os.Args[0])}
	os.Exit(exitCode(streams, Run(ctx, streams, os.Args[1:])))
}
