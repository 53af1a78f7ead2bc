package sidecar

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/internal/certtest"
	"hotpatch.dev/hotpatch/internal/debian"
)

// startRedis has a real Redis listen, and returns its port.
func startRedis(t *testing.T, args ...string) string {
	t.Helper()
	if err := debian.Need(t.Context(), "this test has it reload", map[string]string{"redis-server": "redis-server", "redis-cli": "redis-tools"}); err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(freePort(t))
	redis := exec.Command("redis-server", append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { redis.Process.Kill(); redis.Wait() })
	return port
}

// A real Redis takes new users from a file when it is told to over its own
// protocol, and says why it does not.
func TestRedisLoadsUsers(t *testing.T) {
	dir := t.TempDir()
	const users = "user default on nopass ~* &* +@all\n"
	if err := os.WriteFile(filepath.Join(dir, "users.acl"), []byte(users), 0o644); err != nil {
		t.Fatal(err)
	}
	port := startRedis(t, "--aclfile", dir+"/users.acl")
	w := newWorld(t, instead("fileDir: "+dir+"\n        loadPatchType: request\n        request: {port: "+port+`, send: "ACL LOAD\r\n", expect: '^\+OK'}`))
	w.serves(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, users, r.URL.Query().Get("more"), "\n") })
	w.mustPost("v1", "/users.acl?more=user+alice+on+nopass+~*+%2Bget")
	list, err := exec.Command("redis-cli", "-p", port, "ACL", "USERS").Output()
	if err != nil || !strings.Contains(string(list), "alice") {
		t.Errorf("users: %q %v", list, err)
	}
	code, body := w.post("v2", "/users.acl?more=user+bob+on+nonsense")
	if code != 500 || !strings.Contains(body, "it answered \"-ERR") {
		t.Errorf("%d %q", code, body)
	}
}

// By CONFIG a real Redis takes a certificate and its key, which come in one archive,
// reads both again under the same names, and refuses a pair that does not fit.
func TestRedisTakesCertificates(t *testing.T) {
	port, secure, dir := startRedis(t), fmt.Sprint(freePort(t)), t.TempDir()
	send := strings.NewReplacer("DIR", dir+"/tls", "PORT", secure).Replace(
		`CONFIG SET tls-port PORT tls-auth-clients no tls-cert-file DIR/tls.crt tls-key-file DIR/tls.key tls-ca-cert-file DIR/ca.crt\r\n`)
	w := newWorld(t, instead("fileDir: "+dir+"\n        loadPatchType: request\n        request: {port: "+port+`, send: "`+send+`", expect: '^\+OK'}`))
	var last *certtest.Authority
	for _, version := range []string{"v1", "v2"} {
		last = certtest.New(t)
		archive := last.Archive(last.Pair("redis"))
		w.serves(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(archive) })
		w.mustPost(version, "/tls.tar", "extract", "1")
		if err := last.Sees("127.0.0.1:"+secure, "redis"); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	mixed := last.Pair("redis")
	mixed.Key = last.Pair("redis").Key
	archive := last.Archive(mixed)
	w.serves(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(archive) })
	if code, body := w.post("v3", "/tls.tar", "extract", "1"); code != 500 || !strings.Contains(body, "it answered \"-ERR") {
		t.Errorf("a key that does not fit: %d %q", code, body)
	}
	if err := last.Sees("127.0.0.1:"+secure, "redis"); err != nil {
		t.Errorf("after the key that does not fit: %v", err)
	}
}
