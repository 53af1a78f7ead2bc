package programs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/api"
)

const redisConfig = `bind 127.0.0.1
port PORT
unixsocket /var/lib/redis/redis.sock
dir /var/lib/redis
save ""
maxclients CLIENTS
`

const redisFunction = "#!lua name=shop\nredis.register_function('greet', function() return 'VERSION' end)\n"

// redis is Debian's. v2 has another binary, configuration and function.
func redis(t *testing.T, port string) program {
	t.Helper()
	base := from(t, []string{"redis-server", "redis-tools", "libc6", "libgcc-s1", "libstdc++6", "libatomic1", "libjemalloc2", "liblzf1", "libssl3", "libsystemd0", "libcap2",
		"libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1", "busybox"},
		[]string{"usr/bin/redis-check-rdb", "usr/bin/redis-cli", "bin/busybox"}, "usr/bin/redis-server")
	withShell(base)
	base.Dir("var/lib/redis", 0o755)
	files := func(version, clients string) map[string]string {
		return map[string]string{"etc/redis.conf": strings.NewReplacer("PORT", port, "CLIENTS", clients).Replace(redisConfig),
			"usr/share/shop.lua": strings.Replace(redisFunction, "VERSION", version, 1)}
	}
	out := program{base: base, start: v1.ImageConfig{Entrypoint: []string{"/usr/bin/redis-server", "/etc/redis.conf"}}, v1: files("v1", "100"), v2: files("v2", "200")}
	out.v2["usr/bin/redis-check-rdb"] = another(t, base, "usr/bin/redis-check-rdb", "\x007.0.", "\x009.0.")
	return out
}

func redisReload(port string) *api.Reload {
	return &api.Reload{Exec: []string{"/bin/sh", "-c", "redis-cli -e -p " + port + " -x FUNCTION LOAD REPLACE < /usr/share/shop.lua"}}
}

// keeper is one who talks to Redis on one connection.
type keeper struct{ *client }

func keep(t *testing.T, network, address string) keeper { return keeper{connect(t, network, address)} }

// do is a command's answer, its elements in one line.
func (k keeper) do(command string) string {
	k.Helper()
	k.say(command)
	return k.answer()
}

func (k keeper) answer() string {
	k.Helper()
	head := k.hear()
	n, _ := strconv.Atoi(head[1:])
	switch {
	case head[0] == '*':
		all := make([]string, n)
		for i := range all {
			all[i] = k.answer()
		}
		return strings.Join(all, " ")
	case head[0] == '$' && n >= 0:
		body := make([]byte, n+2)
		if _, err := io.ReadFull(k.in, body); err != nil {
			k.Fatal(err)
		}
		return string(body[:n])
	}
	return head[1:]
}

// expect does a command, whose answer must be as given.
func (k keeper) expect(command, want string) {
	k.Helper()
	if got := k.do(command); got != want {
		k.Errorf("%s: %q, want %q", command, got, want)
	}
}

func TestRedisKeepsItsData(t *testing.T) {
	port := freePort(t)
	p := run(t, redis(t, port), listening(port))
	one, subscriber := keep(t, "tcp", "127.0.0.1:"+port), keep(t, "tcp", "127.0.0.1:"+port)
	local := keep(t, "unix", p.Root("/var/lib/redis/redis.sock"))
	for i := range 2000 {
		one.expect(fmt.Sprintf("SET player:%d %d", i, i*i), "OK")
	}
	subscriber.do("SUBSCRIBE news")
	local.expect("MULTI", "OK")
	local.expect("GET player:7", "QUEUED")
	leave := visitors(t, listening(port))
	unchanged := func(news string) {
		t.Helper()
		one.expect("DBSIZE", "2000")
		one.expect("GET player:1999", "3996001")
		one.expect("CONFIG GET maxclients", "maxclients 100")
		one.expect("PUBLISH news "+news, "1")
		if got := subscriber.answer(); got != "message news "+news {
			t.Errorf("the subscriber hears %q", got)
		}
		if info := one.do("INFO server"); !strings.Contains(info, "redis_version:7.") {
			t.Errorf("the binary is not the old one: %s", info)
		}
	}

	// Where its directory is not carried it goes to the image's, which has neither
	// socket nor data, and what it saves there is gone with that root.
	is := p.becomes("v2", nil)
	if is.OldProcesses != 1 || is.StaleDirs != 0 {
		t.Errorf("observed %+v, want the one process, in the image's directory", is)
	}
	unchanged("one")
	local.expect("EXEC", "49")
	if _, err := net.Dial("unix", p.Root("/var/lib/redis/redis.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there: %v", err)
	}
	one.expect("SAVE", "OK")
	p.has("/var/lib/redis/dump.rdb", true)
	p.becomes("v1", nil)
	p.has("/var/lib/redis/dump.rdb", false)
	keep(t, "unix", p.Root("/var/lib/redis/redis.sock")).expect("PING", "PONG")

	// Carried, it stays; a command takes over what the image brings.
	if is := p.becomes("v2", redisReload(port), "/var/lib/redis"); is.StaleDirs != 0 {
		t.Errorf("observed %+v, want it in the carried directory", is)
	}
	unchanged("two")
	one.expect("FCALL greet 0", "v2")
	local.expect("FCALL greet 0", "v2")
	keep(t, "unix", p.Root("/var/lib/redis/redis.sock")).expect("DEL player:0", "1")
	one.expect("SET player:0 0", "OK")
	one.expect("SAVE", "OK")
	p.has("/var/lib/redis/dump.rdb", true)

	p.becomes("v1", redisReload(port))
	unchanged("three")
	one.expect("FCALL greet 0", "v1")
	leave()
}

// has tells whether a file is in the container.
func (p *pod) has(path string, want bool) {
	p.Helper()
	if _, err := os.Stat(p.Root(path)); err == nil != want {
		p.Errorf("%s: %v", path, err)
	}
}
