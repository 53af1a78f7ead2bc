package programs

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/test/rootfs"
)

// program is a program's image: what its versions have in common, how it starts,
// and what each has of its own.
type program struct {
	base   rootfs.Tree
	start  v1.ImageConfig
	v1, v2 map[string]string
}

// user is who programs run as that must not be root.
const user = 65532

// from has the files of Debian packages that match the patterns, with the
// libraries that the programs need.
func from(t *testing.T, names []string, programs []string, patterns ...string) rootfs.Tree {
	t.Helper()
	tree := rootfs.Tree{}
	tree.Dir("tmp", 0o1777)
	tree.Dir("run", 0o755)
	tree.Dir("var", 0o755)
	tree.Symlink("var/run", "/run")
	tree.File("etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0::/:/bin/sh\napp:x:%d:%[1]d::/:/bin/sh\n", user))
	tree.File("etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\napp:x:%d:\n", user))
	if err := packages.Take(t.Context(), tree, names, append(patterns, programs...)...); err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if err := tree.Complete(program); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// withShell adds a shell and the small commands that scripts need.
func withShell(tree rootfs.Tree) {
	for _, command := range []string{"sh", "sleep", "cat"} {
		tree.Symlink("bin/"+command, "busybox")
	}
}

// images makes both versions' images and returns their references.
func (p program) images(t *testing.T) map[string]string {
	t.Helper()
	archive, err := p.base.Archive()
	if err != nil {
		t.Fatal(err)
	}
	base, refs := string(archive), map[string]string{}
	for version, files := range map[string]map[string]string{"v1": p.v1, "v2": p.v2} {
		ref, err := node.Import("test/"+version, runtimetest.Image{Base: base, Start: p.start, Files: files})
		if err != nil {
			t.Fatal(err)
		}
		refs[version] = ref
	}
	return refs
}

// another is a binary of the tree that tells another version of itself: all that
// can be told from outside of a new build of it.
func another(t *testing.T, tree rootfs.Tree, name, was, is string) string {
	t.Helper()
	content := tree[name].Content
	if len(was) != len(is) || !bytes.Contains(content, []byte(was)) {
		t.Fatalf("%s of %d bytes does not hold %q", name, len(content), was)
	}
	return string(bytes.ReplaceAll(content, []byte(was), []byte(is)))
}

// file reads one of testdata.
func file(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// freePort is a port that nobody listens on: containers are on the host's network.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// listening is whether somebody listens.
func listening(port string) func() error {
	return func() error {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return fmt.Errorf("nobody listens: %w", err)
		}
		return conn.Close()
	}
}
