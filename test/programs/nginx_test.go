package programs

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/api"
)

const nginxConfig = `
error_log /dev/stderr notice;
pid /run/nginx.pid;
user app;
worker_processes 1;
events { worker_connections 64; }
http {
    access_log off;
    default_type text/plain;
    server {
        listen 127.0.0.1:PORT sndbuf=64k;
        root /srv;
        add_header X-Config VERSION;
        location = /module { MODULE }
    }
}
`

// nginx is Debian's. v2 has another configuration, another page, another binary,
// and loads a module.
func nginx(t *testing.T, port, daemon string, entrypoint ...string) program {
	t.Helper()
	base := from(t, []string{"nginx", "nginx-common", "libnginx-mod-http-echo", "libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g", "busybox", "tini"},
		[]string{"usr/sbin/nginx", "bin/busybox", "usr/bin/tini", "usr/lib/nginx/modules/ngx_http_echo_module.so"})
	withShell(base)
	for _, dir := range []string{"var/lib/nginx", "var/log/nginx"} {
		base.Dir(dir, 0o755)
	}
	config := func(version, load, module string) string {
		return daemon + load + strings.NewReplacer("PORT", port, "VERSION", version, "MODULE", module).Replace(nginxConfig)
	}
	return program{base: base, start: v1.ImageConfig{Entrypoint: entrypoint},
		v1: map[string]string{"srv/index.html": "v1", "srv/long": strings.Repeat("1", 1<<20), "etc/nginx/nginx.conf": config("v1", "", `return 200 none;`)},
		v2: map[string]string{"srv/index.html": "v2", "srv/long": strings.Repeat("2", 1<<20),
			"etc/nginx/nginx.conf": config("v2", "load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;", `echo loaded;`),
			"usr/sbin/nginx":       another(t, base, "usr/sbin/nginx", "nginx/1.", "nginx/9.")},
	}
}

// The configuration of an image that runs nginx as its first process.
func TestNginxReloads(t *testing.T) {
	port := freePort(t)
	p := run(t, nginx(t, port, "daemon off;\n", "/usr/sbin/nginx"), listening(port))
	see(t, port, "/", "v1")
	see(t, port, "/module", "none")
	idle := connect(t, "tcp", "127.0.0.1:"+port)
	io.Copy(io.Discard, idle.request("/").Body)
	download := downloading(t, port)
	leave := visitors(t, func() error { _, err := get(port, "/"); return err })

	p.becomes("v2", &api.Reload{Signal: "SIGHUP"})
	p.settles(3) // the master, the new worker, and the old one that has the download
	becomes(t, port, "/", "v2")
	now := becomes(t, port, "/module", "loaded")
	if server, config := now.header.Get("Server"), now.header.Get("X-Config"); !strings.HasPrefix(server, "nginx/1.") || config != "v2" {
		t.Errorf("%s answers with the configuration %s", server, config)
	}
	idle.ends()
	if err := download(); err != nil {
		t.Error(err)
	}
	p.settles(2)

	p.becomes("v1", &api.Reload{Signal: "SIGHUP"})
	becomes(t, port, "/module", "none")
	see(t, port, "/", "v1")
	leave()
}

// downloading begins a download, which goes on when told to and must then be
// v1's to its end.
func downloading(t *testing.T, port string) (goOn func() error) {
	t.Helper()
	slow := connect(t, "tcp", "127.0.0.1:"+port)
	slow.Conn.(*net.TCPConn).SetReadBuffer(64 << 10) // far less than there is to come
	body := slow.request("/long").Body
	return func() error {
		slow.SetReadDeadline(time.Now().Add(30 * time.Second))
		content, err := io.ReadAll(body)
		if ones := strings.Count(string(content), "1"); err != nil || ones != 1<<20 {
			return fmt.Errorf("the download gave %d of v1's %d bytes: %w", ones, 1<<20, err)
		}
		return nil
	}
}

// upgradeNginx starts a new master beside the old one and ends that.
const upgradeNginx = `kill -USR2 $(cat /run/nginx.pid)
until [ -s /run/nginx.pid ] && [ -e /run/nginx.pid.oldbin ]; do sleep 0.1; done
kill -QUIT $(cat /run/nginx.pid.oldbin)`

// nginx in the background, below an init, takes the new binary too.
func TestNginxUpgradesItself(t *testing.T) {
	port := freePort(t)
	p := run(t, nginx(t, port, "", "/usr/bin/tini", "--", "/bin/sh", "-c",
		"/usr/sbin/nginx && while [ -e /run/nginx.pid ] || [ -e /run/nginx.pid.oldbin ]; do sleep 1; done"), listening(port))
	see(t, port, "/", "v1")
	download := downloading(t, port)
	leave := visitors(t, func() error { _, err := get(port, "/"); return err })

	p.becomes("v2", &api.Reload{Exec: []string{"/bin/sh", "-c", upgradeNginx}})
	now := becomes(t, port, "/module", "loaded")
	if server := now.header.Get("Server"); !strings.HasPrefix(server, "nginx/9.") {
		t.Errorf("%s answers", server)
	}
	p.settles(4) // the init, its shell, the old master and its worker, which has the download
	if err := download(); err != nil {
		t.Error(err)
	}
	p.settles(2)

	p.becomes("v1", &api.Reload{Exec: []string{"/bin/sh", "-c", upgradeNginx}})
	now = becomes(t, port, "/module", "none")
	if server := now.header.Get("Server"); !strings.HasPrefix(server, "nginx/1.") {
		t.Errorf("%s answers", server)
	}
	leave()
}
