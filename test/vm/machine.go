package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// machine is a row's virtual machine, ready to boot.
type machine struct {
	row
	kernel, initramfs, disk, log string
}

// tested are the packages whose tests are run, all that touch the kernel or
// containerd.
var tested = []string{"mount", "runtime", "swap", "nodeagent"}

var packages = map[string]string{
	"mount": "./nodeagent/mount", "runtime": "./nodeagent/runtime", "swap": "./nodeagent/swap", "nodeagent": "./nodeagent",
}

// assemble fetches and builds what a row's machine is made of.
func (w *workshop) assemble(ctx context.Context, r row) (*machine, error) {
	dir, err := w.dir("machines", r.name)
	if err != nil {
		return nil, err
	}
	debian, err := w.apt(r.suite, r.arch)
	if err != nil {
		return nil, err
	}
	programs, err := w.programs(ctx, r)
	if err != nil {
		return nil, err
	}
	k, err := debian.kernel(ctx, emulators[r.arch].kernel)
	if err != nil {
		return nil, err
	}
	m := &machine{row: r, kernel: k.image, initramfs: filepath.Join(dir, "initramfs"), disk: filepath.Join(dir, "disk"), log: filepath.Join(dir, "log")}
	if err := writeInitramfs(ctx, m.initramfs, programs["guest"], k); err != nil {
		return nil, err
	}
	tree, err := os.MkdirTemp(dir, "root")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tree)
	if err := debian.fill(ctx, tree, r); err != nil {
		return nil, err
	}
	if err := addPrograms(tree, programs); err != nil {
		return nil, err
	}
	return m, makeDisk(ctx, m.disk, tree)
}

// addPrograms puts what was built here where the guest finds it.
func addPrograms(tree string, programs map[string]string) error {
	for name, file := range programs {
		if err := copyFile(file, filepath.Join(tree, "usr/bin", name)); err != nil {
			return err
		}
	}
	return nil
}

// makeDisk makes the machine's disk of a tree: ext4, as a node's is.
func makeDisk(ctx context.Context, disk, tree string) error {
	if err := os.RemoveAll(disk); err != nil {
		return err
	}
	_, err := command(ctx, "/", "mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-d", tree, disk, "3G")
	if err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	return nil
}
