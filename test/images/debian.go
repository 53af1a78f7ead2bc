package main

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"

	"hotpatch.dev/hotpatch/test/rootfs"
)

// Debian's programs with all that they load; Complete checks that.
var (
	nginxPackages = []string{"nginx", "nginx-common", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"}
	redisPackages = []string{"redis-server", "redis-tools", "libc6", "libgcc-s1", "libstdc++6", "libatomic1", "libjemalloc2", "liblzf1", "libssl3", "libsystemd0",
		"libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1"}
	pythonPackages = []string{"python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libexpat1", "zlib1g", "libssl3", "libffi8", "libbz2-1.0",
		"liblzma5", "libuuid1"}
)

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
