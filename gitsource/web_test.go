package gitsource

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/internal/certtest"
)

// overTLS serves a repository to those whom an authority knows, if there is one; the
// server's own certificate is for git.example and loopback.
func overTLS(t *testing.T, repo *gittest.Repo, own, clients *certtest.Authority) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(repo.Server)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{own.TLS(own.Pair("git.example"))}}
	if clients != nil {
		server.TLS.ClientCAs = clients.Pool()
		server.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// A client's certificate is shown, for reading and for writing, and read anew when it
// rotates. So are the authorities.
func TestClientCertificates(t *testing.T) {
	repo, own, clients, others := gittest.NewRepo(t), certtest.New(t), certtest.New(t), certtest.New(t)
	server := overTLS(t, repo, own, clients)
	shown := clients.Pair("hotpatch")
	auth := Auth{CAFile: private(t, own.PEM()), ClientCertFile: private(t, shown.Cert), ClientKeyFile: private(t, shown.Key)}
	o := Options{URL: server.URL + "/repo.git", Branch: "main", Auth: auth, Timeout: 5 * time.Second}
	s, known, w := follower(t, o)
	if _, err := w.Commit(t.Context(), put("a", "1")); err != nil {
		t.Errorf("write: %v", err)
	}

	fails := func(want string) {
		t.Helper()
		if _, err := s.Newer(t.Context(), known); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	strange := others.Pair("stranger")
	rotate(t, auth.ClientCertFile, strange.Cert)
	fails("private key does not match")
	rotate(t, auth.ClientKeyFile, strange.Key)
	fails("check --git-client-cert-file")
	shown = clients.Pair("hotpatch")
	rotate(t, auth.ClientCertFile, shown.Cert)
	rotate(t, auth.ClientKeyFile, shown.Key)
	if _, err := s.Newer(t.Context(), known); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	rotate(t, auth.CAFile, others.PEM())
	fails("--git-ca-file")
	rotate(t, auth.CAFile, "garbage")
	fails("holds no certificate in PEM form")
	rotate(t, auth.CAFile, own.PEM()+others.PEM()[:100])
	fails(auth.CAFile + " holds certificates, but number 2 of 2 cannot be read")
	rotate(t, auth.CAFile, own.PEM())
	if _, err := s.Newer(t.Context(), known); err != nil {
		t.Errorf("with its authority again: %v", err)
	}
}

func TestAServerThatWantsACertificateSaysSo(t *testing.T) {
	repo, own := gittest.NewRepo(t), certtest.New(t)
	server := overTLS(t, repo, own, certtest.New(t))
	s, err := NewSource(Options{URL: server.URL + "/repo.git", Branch: "main", Auth: Auth{CAFile: private(t, own.PEM())}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Newer(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "check --git-client-cert-file") {
		t.Errorf("got %v", err)
	}
	if _, err := NewSource(Options{URL: server.URL, Branch: "main", Auth: Auth{ClientCertFile: "/nowhere"}}); err == nil || !strings.Contains(err.Error(), "--git-client-key-file") {
		t.Errorf("a certificate without its key: %v", err)
	}
}

// newProxy is a small one for CONNECT, which leads every host to one address and
// wants a password.
func newProxy(t *testing.T, to string) (string, *atomic.Int64) {
	t.Helper()
	through := &atomic.Int64{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "git.example:443" {
			http.Error(w, "only CONNECT to git.example", http.StatusForbidden)
			return
		}
		if r.Header.Get("Proxy-Authorization") != "Basic YW5uOmh1bnRlcjI=" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		through.Add(1)
		there, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		here, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		go pipe(here, here, there)
		_, _ = io.Copy(there, buffered)
		there.Close()
	}))
	t.Cleanup(proxy.Close)
	return proxy.Listener.Addr().String(), through
}

// The proxy is asked for the name git.example, which nobody else could find.
func TestProxies(t *testing.T) {
	repo, own := gittest.NewRepo(t), certtest.New(t)
	server := overTLS(t, repo, own, nil)
	proxy, through := newProxy(t, server.Listener.Addr().String())
	read := func(env, value, none string) error {
		t.Setenv("HTTPS_PROXY", "")
		t.Setenv("NO_PROXY", none)
		t.Setenv(env, value)
		s, err := NewSource(Options{URL: "https://git.example/repo.git", Branch: "main", Timeout: 5 * time.Second, Auth: Auth{CAFile: private(t, own.PEM())}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Newer(t.Context(), "")
		return err
	}
	for _, env := range []string{"HTTPS_PROXY", "https_proxy"} {
		before := through.Load()
		if err := read(env, "http://ann:hunter2@"+proxy, ""); err != nil || through.Load() == before {
			t.Errorf("%s: %v, %d connections", env, err, through.Load()-before)
		}
		t.Setenv(env, "")
	}
	before := through.Load()
	if err := read("HTTPS_PROXY", "http://ann:hunter2@"+proxy, "internal.example,git.example"); err == nil || through.Load() != before {
		t.Errorf("NO_PROXY: %v, %d connections through the proxy", err, through.Load()-before)
	}
	for _, bad := range []string{"http://ann:hunter3@" + proxy, "http://ann:hunter2@127.0.0.1:1"} {
		if err := read("HTTPS_PROXY", bad, ""); err == nil || !strings.Contains(err.Error(), "check the proxy in HTTPS_PROXY") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
