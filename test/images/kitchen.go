package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"hotpatch.dev/hotpatch/test/rootfs"
)

// kitchen is where images are made: this repository and a folder that keeps
// what need not be made twice.
type kitchen struct {
	root, cache string
	debian      rootfs.Debian
}

func openKitchen() (*kitchen, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "test/images")); err == nil {
			k := &kitchen{root: dir, cache: filepath.Join(dir, ".cluster"), debian: rootfs.Debian(filepath.Join(dir, ".cluster/debs"))}
			return k, os.MkdirAll(k.cache, 0o755)
		}
	}
	return nil, errors.Join(errors.New("run this inside the Hotpatch repository"), err)
}

func (k *kitchen) path(parts ...string) string {
	return filepath.Join(append([]string{k.root}, parts...)...)
}

// has tells whether a folder is there with something in it.
func (k *kitchen) has(source string) bool {
	files, err := os.ReadDir(k.path(source))
	return err == nil && len(files) > 0
}

// goBuild is a static program. It is built onto the one of last time, which Go
// leaves alone if nothing changed. No commit is stamped into it: a commit that
// changes nothing must not change the image.
func (k *kitchen) goBuild(ctx context.Context, source, name, ldflags string) ([]byte, error) {
	out := filepath.Join(k.cache, "images", name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "grpcnotrace", "-buildvcs=false", "-ldflags", "-s -w "+ldflags, "-o", out, "./"+source)
	cmd.Dir = k.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %w\n%s", source, err, output)
	}
	return os.ReadFile(out)
}
