package main

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"

	"hotpatch.dev/hotpatch/test/rootfs"
)

// nginxPackages is Debian's light nginx with all that it loads; Complete checks
// that.
var nginxPackages = []string{"nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"}

// certificates adds the authorities that Debian trusts, as one file where Go
// looks for them.
func (k *kitchen) certificates(ctx context.Context, t rootfs.Tree) error {
	dir, err := k.debian.Unpacked(ctx, "ca-certificates")
	if err != nil {
		return err
	}
	authorities := rootfs.Tree{}
	if err := authorities.CopyFrom(filepath.Join(dir, "usr/share/ca-certificates/mozilla"), ""); err != nil {
		return err
	}
	var bundle bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(authorities)) {
		bundle.Write(authorities[name].Content)
	}
	t.File("etc/ssl/certs/ca-certificates.crt", 0o644, bundle.Bytes())
	return nil
}
