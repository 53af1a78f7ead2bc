// Command server is a small game server that never hangs up: players stay
// connected, with their scores, while it is replaced by a newer version of
// itself.
//
// On SIGHUP it executes whatever now stands at its own path, in the same
// process, and hands over its listeners, the players' connections and every
// byte that was read but not answered, or answered but not sent. If the new
// program cannot be executed, the old one goes on as if nothing had happened.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

// build is set by the linker, so that /state tells the program's version apart
// from that of the files beside it.
var build = "dev"

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "/game", "folder with the files version and world.txt")
	flag.StringVar(&o.game, "listen", ":7777", "address for players")
	flag.StringVar(&o.http, "http", ":8080", "address for /healthz and /state")
	version := flag.Bool("version", false, "say which program and which files these are, and exit")
	flag.Parse()
	if *version {
		say(o.dir)
		return
	}

	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o, hangup); err != nil {
		slog.Error("the game is over", "error", err)
		os.Exit(1)
	}
}

// say tells the program apart from the files: after a hot-patch both are new.
func say(dir string) {
	files, err := os.ReadFile(filepath.Join(dir, "version"))
	if err != nil {
		slog.Error("no files", "error", err)
		os.Exit(1)
	}
	fmt.Printf("program %s, files %s\n", build, strings.TrimSpace(string(files)))
}
