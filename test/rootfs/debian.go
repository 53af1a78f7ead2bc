package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Debian is a folder that keeps Debian packages, unpacked. Many may use it at
// once.
type Debian string

// libraries are the files of a package that programs of others need to start.
var libraries = []string{"lib64/ld-linux-*", "lib/x86_64-linux-gnu/*.so*", "usr/lib/x86_64-linux-gnu/*.so*"}

// Take copies into a tree what the patterns match of the packages' files, whole
// folders too, and all their shared libraries.
func (d Debian) Take(ctx context.Context, t Tree, packages []string, patterns ...string) error {
	if err := d.fetch(ctx, packages); err != nil {
		return err
	}
	for _, name := range packages {
		for _, pattern := range slices.Concat(libraries, patterns) {
			if err := d.take(t, name, pattern); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d Debian) take(t Tree, name, pattern string) error {
	dir := d.dir(name)
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		return err
	}
	for _, file := range found {
		below := strings.TrimPrefix(file, dir+"/")
		info, err := os.Lstat(file)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			err = t.CopyFrom(file, below)
		default:
			err = t.CopyFile(file, below)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Unpacked is the folder with a package's files, downloaded once.
func (d Debian) Unpacked(ctx context.Context, name string) (string, error) {
	return d.dir(name), d.fetch(ctx, []string{name})
}

func (d Debian) dir(name string) string { return filepath.Join(string(d), name) }

// fetch downloads and unpacks what is not there yet.
func (d Debian) fetch(ctx context.Context, names []string) error {
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := os.Stat(d.dir(name))
		return err == nil
	})
	if len(missing) == 0 {
		return nil
	}
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(string(d), ".new")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := download(ctx, scratch, missing); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(scratch, "*.deb"))
	for _, file := range files {
		err = errors.Join(err, d.unpack(ctx, file))
	}
	return err
}

// unpack publishes a package's folder whole, or not at all.
func (d Debian) unpack(ctx context.Context, file string) error {
	name, _, _ := strings.Cut(filepath.Base(file), "_")
	if err := command(ctx, filepath.Dir(file), "dpkg", "-x", file, name); err != nil {
		return err
	}
	err := os.Rename(filepath.Join(filepath.Dir(file), name), d.dir(name))
	if errors.Is(err, fs.ErrExist) {
		return nil // somebody else was faster
	}
	return err
}

// download fetches packages, with a fresh look at what there is if the last one
// is too old. What the machine has installed is not looked at: it may be of
// another archive, in a version that this one does not have.
func download(ctx context.Context, dir string, names []string) error {
	fetch := func() error {
		return command(ctx, dir, "apt-get", append([]string{"-q", "-o", "APT::Sandbox::User=root", "-o", "Dir::State::status=/dev/null",
			"-o", "Dir::Cache::pkgcache=", "download"}, names...)...)
	}
	if fetch() == nil {
		return nil
	}
	if err := command(ctx, dir, "apt-get", "-q", "update"); err != nil {
		return err
	}
	return fetch()
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
