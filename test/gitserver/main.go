// Command gitserver serves bare repositories of a directory over smart HTTP,
// and tells a URL of each push, as a forge's webhook does.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

func main() {
	root := pflag.String("root", "", "directory of the repositories")
	repo := pflag.String("init", "", "repository to make if it is not there")
	listen := pflag.String("listen", "127.0.0.1:3000", "address to serve on")
	hook := pflag.String("hook-url", "", "URL to POST to after each push")
	pflag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *root, *repo, *listen, *hook); err != nil {
		fmt.Fprintln(os.Stderr, "gitserver:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, root, repo, listen, hook string) error {
	git, err := gittest.New(root)
	if err != nil {
		return err
	}
	if err := git.Init(ctx, repo); repo != "" && err != nil {
		return err
	}
	if hook != "" {
		git.Pushed = func(string) { go post(hook) }
	}
	server := &http.Server{Addr: listen, Handler: git, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

// post tells of a push. Nobody listening is no failure: there is the poll.
func post(url string) {
	client := &http.Client{Timeout: 3 * time.Second}
	if resp, err := client.Post(url, "", nil); err == nil {
		resp.Body.Close()
	}
}
