package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// containerd2 has a go.mod of its own, which pins the release and what it is
// built of: what a daemon needs is not what its client does.
const (
	containerd2       = "test/vm/containerd2"
	containerdPackage = "github.com/containerd/containerd/v2/cmd/"
)

// programs builds what a row's machine runs of ours, by name, and containerd 2
// where the row wants it.
func (w *workshop) programs(ctx context.Context, r row) (map[string]string, error) {
	out, err := w.dir("programs", r.arch)
	if err != nil {
		return nil, err
	}
	built := map[string]string{}
	build := func(dir, name string, args ...string) error {
		built[name] = filepath.Join(out, name)
		return w.goBuild(ctx, r.arch, dir, append(args[:len(args)-1:len(args)-1], "-o", built[name], args[len(args)-1])...)
	}
	for _, name := range tested {
		if err := build("", name+".test", "test", "-c", packages[name]); err != nil {
			return nil, err
		}
	}
	if err := build("", "server", "build", "./nodeagent/runtime/runtimetest/testdata/server"); err != nil {
		return nil, err
	}
	if err := build("", "guest", "build", "./test/vm/guest"); err != nil {
		return nil, err
	}
	for _, name := range []string{"victim", "waiter", "odd", "hostile"} {
		built[name] = filepath.Join(out, name)
	}
	if err := w.swapPrograms(ctx, out); err != nil {
		return nil, err
	}
	if !r.built {
		return built, nil
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2"} {
		if err := build(containerd2, name, "build", containerdPackage+name); err != nil {
			return nil, err
		}
	}
	return built, nil
}

// swapPrograms builds what the swap's tests run; they are of this machine's
// architecture alone.
func (w *workshop) swapPrograms(ctx context.Context, out string) error {
	cmd := exec.CommandContext(ctx, "make", "-C", filepath.Join(w.root, "nodeagent/swap/testdata"), "OUT="+out)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the swap's test programs: %w\n%s", err, output)
	}
	return nil
}

// goBuild runs go for another architecture, as the Makefile does for this one.
func (w *workshop) goBuild(ctx context.Context, arch, dir string, args ...string) error {
	args = append([]string{args[0], "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w"}, args[1:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(w.root, dir)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", args[0], cmd.Dir, err, output)
	}
	return nil
}
