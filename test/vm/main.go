// Command vm runs the swap's tests on platforms that this machine is not: other
// kernels, the other version of cgroups, other containerds, another processor.
//
// Each row of the matrix is a virtual machine of its own, one after the other:
// Debian's kernel, Debian's runc and containerd (or one built here), and the
// tests, which are built here. What cannot be run is reported with its reason
// and is not counted as passed.
//
//	go run ./test/vm --only debian12
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

func main() {
	flags := pflag.NewFlagSet("vm", pflag.ExitOnError)
	only := flags.String("only", "", "one row of the matrix; default: all")
	pattern := flags.String("run", "", "only tests that match, as for go test")
	flags.Parse(os.Args[1:])

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *only, *pattern); err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only, pattern string) error {
	wanted := chosen(only)
	if len(wanted) == 0 {
		return fmt.Errorf("no row is called %s; there are %s", only, strings.Join(names(), ", "))
	}
	w, err := openWorkshop()
	if err != nil {
		return err
	}
	if err := installEmulators(wanted); err != nil {
		return err
	}
	var results []result
	for _, r := range wanted {
		fmt.Printf("%s: %s\n", r.name, r)
		results = append(results, w.try(ctx, r, pattern))
	}
	fmt.Print(table(results))
	for _, r := range results {
		if r.outcome() == failed {
			return errors.New("the swap's tests failed on a platform")
		}
	}
	return nil
}

// workshop is where virtual machines are made: this repository, and a folder
// that keeps what need not be fetched or built twice.
type workshop struct {
	root, cache string
}

func openWorkshop() (*workshop, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "test/vm")); err == nil {
			w := &workshop{root: dir, cache: filepath.Join(dir, ".cluster/vm")}
			return w, os.MkdirAll(w.cache, 0o755)
		}
	}
	return nil, errors.Join(errors.New("run this inside the Hotpatch repository"), err)
}

// dir is a folder of the cache, made if it is not there.
func (w *workshop) dir(parts ...string) (string, error) {
	dir := filepath.Join(append([]string{w.cache}, parts...)...)
	return dir, os.MkdirAll(dir, 0o755)
}

// try makes a row's machine and runs it. What could not be had of it, a package
// or an emulator, is a reason not to run it; the tests' end is its result.
func (w *workshop) try(ctx context.Context, r row, pattern string) result {
	m, err := w.assemble(ctx, r)
	if err != nil {
		return result{row: r, notRun: err}
	}
	return m.run(ctx, pattern)
}
