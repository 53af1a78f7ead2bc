// Command images builds Hotpatch's images and those of the examples, and pushes
// them to a registry, without Docker.
//
// It promises that the same content gives the same digest: times are fixed and
// files are sorted, so pushing again what has not changed moves nothing.
//
//	go run ./test/images --registry 127.0.0.1:5000 --only game-server
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

func main() {
	flags := pflag.NewFlagSet("images", pflag.ExitOnError)
	registry := flags.String("registry", "127.0.0.1:5000", "registry to push to, over plain HTTP")
	only := flags.StringSlice("only", nil, "names without tag, such as hotpatch/agent; default: all")
	flags.Parse(os.Args[1:])

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *registry, *only); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, registry string, only []string) error {
	k, err := openKitchen()
	if err != nil {
		return err
	}
	wanted := slices.DeleteFunc(recipes(), func(r recipe) bool { return len(only) > 0 && !slices.Contains(only, r.name()) })
	if len(wanted) == 0 {
		return fmt.Errorf("no image is called %s", strings.Join(only, " or "))
	}
	var errs []error
	for _, r := range wanted {
		errs = append(errs, serve(ctx, k, r, registry))
	}
	return errors.Join(errs...)
}

// serve makes one image, pushes it and prints where it is.
func serve(ctx context.Context, k *kitchen, r recipe, registry string) error {
	if !k.has(r.source) {
		fmt.Printf("%-30s skipped: there is no %s yet\n", r.tag, r.source)
		return nil
	}
	contents, err := r.make(ctx, k)
	if err != nil {
		return fmt.Errorf("%s: %w", r.tag, err)
	}
	digest, size, err := push(ctx, registry+"/"+r.tag, contents)
	if err != nil {
		return err
	}
	fmt.Printf("%-30s %s %6.1f MB\n", r.tag, digest, float64(size)/1e6)
	return nil
}
