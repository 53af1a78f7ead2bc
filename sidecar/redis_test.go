package sidecar

import (
	"archive/tar"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	sees := func(c *certs) error {
		roots := x509.NewCertPool()
		roots.AddCert(c.ca)
		conn, err := tls.Dial("tcp", "127.0.0.1:"+secure, &tls.Config{RootCAs: roots, ServerName: "redis"})
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	var last *certs
	for _, version := range []string{"v1", "v2"} {
		last = newCerts(t)
		archive := last.archive(last.of("redis"))
		w.serves(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(archive) })
		w.mustPost(version, "/tls.tar", "extract", "1")
		if err := sees(last); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	mixed := last.of("redis")
	mixed.PrivateKey = last.of("redis").PrivateKey
	archive := last.archive(mixed)
	w.serves(func(rw http.ResponseWriter, _ *http.Request) { rw.Write(archive) })
	if code, body := w.post("v3", "/tls.tar", "extract", "1"); code != 500 || !strings.Contains(body, "it answered \"-ERR") {
		t.Errorf("a key that does not fit: %d %q", code, body)
	}
	if err := sees(last); err != nil {
		t.Errorf("after the key that does not fit: %v", err)
	}
}

// archive has a certificate, its key and its authority in one.
func (c *certs) archive(pair tls.Certificate) []byte {
	c.t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		c.t.Fatal(err)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"tls.key": {Type: "PRIVATE KEY", Bytes: key},
		"ca.crt":  {Type: "CERTIFICATE", Bytes: c.ca.Raw},
	} {
		text := pem.EncodeToMemory(block)
		w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))})
		w.Write(text)
	}
	w.Close()
	return out.Bytes()
}
