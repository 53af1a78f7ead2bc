package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// nginxPackages is Debian's light nginx with all that it loads; complete checks
// that.
var nginxPackages = []string{"nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"}

// nginxFiles are the files of those packages that it takes to serve a page.
var nginxFiles = []string{
	"usr/sbin/nginx", "etc/nginx/mime.types", "lib64/ld-linux-*",
	"lib/x86_64-linux-gnu/*.so*", "usr/lib/x86_64-linux-gnu/*.so*",
}

func (k *kitchen) nginx(ctx context.Context, t tree) error {
	for _, name := range nginxPackages {
		dir, err := k.unpacked(ctx, name)
		if err != nil {
			return err
		}
		for _, pattern := range nginxFiles {
			files, _ := filepath.Glob(filepath.Join(dir, pattern)) // a constant: cannot be malformed
			for _, file := range files {
				below := strings.TrimPrefix(file, dir+"/")
				if err := t.copyFile(file, below); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// certificates adds the authorities that Debian trusts, as one file where Go
// looks for them.
func (k *kitchen) certificates(ctx context.Context, t tree) error {
	dir, err := k.unpacked(ctx, "ca-certificates")
	if err != nil {
		return err
	}
	authorities := tree{}
	if err := authorities.copyFrom(filepath.Join(dir, "usr/share/ca-certificates/mozilla"), ""); err != nil {
		return err
	}
	var bundle bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(authorities)) {
		bundle.Write(authorities[name].content)
	}
	t.file("etc/ssl/certs/ca-certificates.crt", 0o644, bundle.Bytes())
	return nil
}

// unpacked is the folder with a Debian package's files, downloaded once.
func (k *kitchen) unpacked(ctx context.Context, name string) (string, error) {
	dir := filepath.Join(k.cache, "debs", name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	scratch, err := os.MkdirTemp(k.cache, "deb")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	if err := download(ctx, scratch, name); err != nil {
		return "", err
	}
	packages, _ := filepath.Glob(filepath.Join(scratch, "*.deb"))
	for _, file := range packages {
		if err := command(ctx, scratch, "dpkg", "-x", file, "files"); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	err = os.Rename(filepath.Join(scratch, "files"), dir)
	if errors.Is(err, fs.ErrExist) {
		err = nil // somebody else was faster
	}
	return dir, err
}

// download fetches a package, with a fresh look at what there is if the last
// one is too old.
func download(ctx context.Context, dir, name string) error {
	fetch := func() error {
		return command(ctx, dir, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name)
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
