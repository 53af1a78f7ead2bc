// Command benchgit prints what Git costs: polls with few and many refs, a fetch
// after a push, the rendering of a commit, commits of results by one and by many, and
// the memory that a large repository takes. Git's own program is measured beside it,
// on the same server in the same run: git http-backend behind TLS on loopback.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const (
	kb = 1 << 10
	mb = 1 << 20
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	url := flag.String("hold", "", "read the main branch at this URL, say how much memory that takes, and end")
	ca := flag.String("ca", "", "file with the authority of the server at that URL")
	cache := flag.String("cache", "", "directory for what of it has no room in memory")
	flag.Parse()
	run := bench
	if *url != "" {
		run = func(ctx context.Context) error { return hold(ctx, *url, *ca, *cache) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "benchgit:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context) error {
	s, err := newServer()
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Printf("| what | hotpatch | target | git |\n|---|---|---|---|\n")
	for _, measure := range []func(context.Context, *server) error{polls, fetches, renders, commits, crowd, memory} {
		if err := measure(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// row prints a line of the table.
func row(what, measured, target, git string) {
	fmt.Printf("| %s | %s | %s | %s |\n", what, measured, target, git)
}
