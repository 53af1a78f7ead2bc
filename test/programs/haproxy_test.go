package programs

import (
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/api"
)

const haproxyConfig = `global
  chroot /var/lib/haproxy
  user app
  group app
  stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
  timeout connect 5s
  timeout client 1m
  timeout server 1m
frontend web
  mode http
  bind 127.0.0.1:WEB
  http-request return status 200 content-type text/plain file /etc/haproxy/page hdr X-Config VERSION
listen game
  mode tcp
  bind 127.0.0.1:GAME
  server one SERVER
`

var haproxyPackages = []string{"haproxy", "libc6", "libcrypt1", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1", "libpcre2-8-0", "libssl3",
	"libstdc++6", "libgcc-s1", "libsystemd0", "libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1", "zlib1g"}

// haproxy is Debian's as master and workers, v2 with another page, configuration
// and binary.
func haproxy(t *testing.T, web, game, server string) program {
	t.Helper()
	base := from(t, haproxyPackages, []string{"usr/sbin/haproxy"})
	base.Dir("var/lib/haproxy", 0o755)
	base.Dir("run/haproxy", 0o755)
	files := func(version string) map[string]string {
		return map[string]string{"etc/haproxy/page": version,
			"etc/haproxy/haproxy.cfg": strings.NewReplacer("WEB", web, "GAME", game, "SERVER", server, "VERSION", version).Replace(haproxyConfig)}
	}
	out := program{base: base, v1: files("v1"), v2: files("v2"),
		start: v1.ImageConfig{Entrypoint: []string{"/usr/sbin/haproxy", "-W", "-f", "/etc/haproxy/haproxy.cfg"}}}
	out.v2["usr/sbin/haproxy"] = another(t, base, "usr/sbin/haproxy", "2.6.", "9.6.")
	return out
}

func TestHAProxyBecomesTheNewOne(t *testing.T) {
	web, game := freePort(t), freePort(t)
	p := run(t, haproxy(t, web, game, echoes(t)), listening(web))
	player := connect(t, "tcp", "127.0.0.1:"+game)
	playing := func(word string) {
		t.Helper()
		if got := player.ask(word); got != word {
			t.Errorf("the player says %s and hears %q", word, got)
		}
	}
	playing("one")
	idle := connect(t, "tcp", "127.0.0.1:"+web)
	io.Copy(io.Discard, idle.request("/").Body)
	see(t, web, "/", "v1")
	p.isHAProxy("2.6.")
	leave := visitors(t, func() error { _, err := get(web, "/"); return err })

	p.awaitsReload()
	p.becomes("v2", &api.Reload{Signal: "SIGUSR2"})
	if now := becomes(t, web, "/", "v2"); now.header.Get("X-Config") != "v2" {
		t.Errorf("the configuration is that of %s", now.header.Get("X-Config"))
	}
	p.isHAProxy("9.6.")
	playing("two")
	p.settles(1) // the worker that still has the player
	idle.ends()
	player.Close()
	p.settles(0)

	p.awaitsReload()
	p.becomes("v1", &api.Reload{Signal: "SIGUSR2"})
	becomes(t, web, "/", "v1")
	p.isHAProxy("2.6.")
	leave()
}

// awaitsReload waits until the master listens to SIGUSR2: while it starts, also
// when it starts anew, it ignores it.
func (p *pod) awaitsReload() {
	p.Helper()
	eventually(p, func() error {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		if err != nil {
			return err
		}
		caught, err := strconv.ParseUint(string(regexp.MustCompile(`SigCgt:\s+(\w+)`).FindSubmatch(status)[1]), 16, 64)
		if err == nil && caught&(1<<(syscall.SIGUSR2-1)) == 0 {
			err = fmt.Errorf("the master does not listen to SIGUSR2: %s", status)
		}
		return err
	})
}

// isHAProxy asks the worker that now serves for its version.
func (p *pod) isHAProxy(version string) {
	p.Helper()
	eventually(p, func() error {
		conn, err := net.Dial("unix", p.Root("/run/haproxy/admin.sock"))
		if err != nil {
			return err
		}
		defer conn.Close()
		fmt.Fprintln(conn, "show info")
		info, err := io.ReadAll(conn)
		if !strings.Contains(string(info), "Version: "+version) {
			return fmt.Errorf("the version is not %s: %w: %s", version, err, info)
		}
		return nil
	})
}

// echoes is the address of a server that says what it hears.
func echoes(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().String()
}
