package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// libraries are the packages that Debian's containerd and runc load from.
var libraries = []string{"libc6", "libseccomp2"}

// fill puts Debian's part of a machine's root into a folder.
func (a *apt) fill(ctx context.Context, tree string, r row) error {
	for _, dir := range []string{"usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "dev", "proc", "sys", "run", "tmp", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} { // as Debian has them
		if err := os.Symlink("usr/"+name, filepath.Join(tree, name)); err != nil {
			return err
		}
	}
	packages := append([]string{"runc"}, libraries...)
	if !r.built {
		packages = append(packages, "containerd")
	}
	for _, name := range packages {
		dir, err := a.unpacked(ctx, name)
		if err != nil {
			return err
		}
		if err := copyRuntime(dir, tree, emulators[r.arch].triplet); err != nil {
			return fmt.Errorf("unpack %s: %w", name, err)
		}
	}
	return nil
}

// copyRuntime copies what it takes to run a package's programs. Older packages
// have some of it outside of /usr.
func copyRuntime(dir, tree, triplet string) error {
	patterns := []string{"usr/bin/*", "usr/sbin/*", "lib64/ld-*", "lib/ld-*", "lib/" + triplet + "/*.so*", "usr/lib/" + triplet + "/*.so*", "usr/lib64/ld-*", "usr/lib/ld-*"}
	for _, pattern := range patterns {
		files, _ := filepath.Glob(filepath.Join(dir, pattern)) // a constant: cannot be malformed
		for _, file := range files {
			below := strings.TrimPrefix(strings.TrimPrefix(file, dir+"/"), "usr/")
			if err := copyFile(file, filepath.Join(tree, "usr", below)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyFile copies a file or a symlink.
func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}
