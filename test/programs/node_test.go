package programs

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/api"
)

var nodePackages = []string{"nodejs", "libnode108", "libuv1", "libbrotli1", "libc-ares2", "libc6", "libgcc-s1", "libicu72", "libnghttp2-14", "libssl3",
	"libstdc++6", "zlib1g", "node-acorn", "node-cjs-module-lexer", "node-undici"}

// nodeServer is Debian's Node. v2 has other modules of the application, and
// another shared library.
func nodeServer(t *testing.T, port string) program {
	t.Helper()
	base := from(t, nodePackages, []string{"usr/bin/node"}, "usr/share/nodejs/acorn", "usr/share/nodejs/acorn-walk", "usr/share/nodejs/cjs-module-lexer", "usr/share/nodejs/undici")
	base.File("srv/server.js", 0o644, []byte(file(t, "node/server.js")))
	module := func(version string) string { return "exports.version = '" + version + "'\n" }
	const uv = "usr/lib/x86_64-linux-gnu/libuv.so.1.0.0"
	return program{base: base, start: v1.ImageConfig{Env: []string{"PORT=" + port}, Entrypoint: []string{"/usr/bin/node", "/srv/server.js"}},
		v1: map[string]string{"srv/code.js": module("v1"), "srv/late.js": module("v1")},
		v2: map[string]string{"srv/code.js": module("v2"), "srv/late.js": module("v2"), uv: another(t, base, uv, "1.44.", "9.44.")},
	}
}

func TestNodeForksNewWorkers(t *testing.T) {
	port := freePort(t)
	p := run(t, nodeServer(t, port), listening(port))
	before := connect(t, "tcp", "127.0.0.1:"+port)
	if code := before.ask("code"); code != "v1" {
		t.Errorf("the code is that of %s", code)
	}
	leave := visitors(t, func() error { _, err := askNode(port, "code"); return err })

	p.becomes("v2", &api.Reload{Signal: "SIGHUP"})
	for what, want := range map[string]string{"code": "v2", "late": "v2", "uv": "9.44.2"} {
		becomesNode(t, port, what, want)
	}
	p.settles(2) // the primary, and the worker that still has somebody
	for what, want := range map[string]string{"code": "v1", "late": "v2", "uv": "1.44.2"} {
		if got := before.ask(what); got != want {
			t.Errorf("the old worker has %s %s, want %s", what, got, want)
		}
	}
	before.Close()
	p.settles(1)

	p.becomes("v1", &api.Reload{Signal: "SIGHUP"})
	becomesNode(t, port, "uv", "1.44.2")
	leave()
}

// askNode asks on a connection of its own.
func askNode(port, what string) (string, error) {
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Fprintln(conn, what)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(answer), err
}

func becomesNode(t *testing.T, port, what, want string) {
	t.Helper()
	eventually(t, func() error {
		got, err := askNode(port, what)
		if err == nil && got != want {
			err = fmt.Errorf("%s is that of %s, want %s", what, got, want)
		}
		return err
	})
}
