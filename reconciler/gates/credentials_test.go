package gates

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/certtest"
)

// mounted writes the files of a credential, as kubelet mounts a Secret.
func mounted(t *testing.T, dir Credentials, name string, files map[string]string) {
	t.Helper()
	place := filepath.Join(string(dir), name)
	if err := os.MkdirAll(place, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(place, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// guarded is a server that wants a header, and repeats what it was sent.
func guarded(t *testing.T, start func(http.Handler) *httptest.Server, header string, want *string) (server *httptest.Server, host string) {
	server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := r.Header.Get(header)
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		if got != *want {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, `{"status": "error", "error": "you sent %s"}`, got)
	}))
	t.Cleanup(server.Close)
	return server, server.Listener.Addr().String()
}

func TestCredentialsAreSentAndRotate(t *testing.T) {
	for name, c := range map[string]struct {
		files              map[string]string
		header, want, next string
	}{
		"token":   {map[string]string{"token": "s3cret\n"}, "Authorization", "Bearer s3cret", "Bearer n3w"},
		"basic":   {map[string]string{"username": "ann", "password": "s3cret"}, "Authorization", "Basic YW5uOnMzY3JldA==", "Basic YW5uOm4zdw=="},
		"headers": {map[string]string{"headers": "X-A: b\nX-Scope-OrgID:  s3cret\n"}, "X-Scope-OrgID", "s3cret", "n3w"},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			server, host := guarded(t, httptest.NewServer, c.header, &want)
			dir := Credentials(t.TempDir())
			mounted(t, dir, "stats", c.files)
			mounted(t, dir, "stats", map[string]string{"hosts": "other:9090\n" + host + "\n"})
			m := New(nil, loopback, dir)
			a := api.Analysis{HTTP: &api.HTTPMeasure{URL: server.URL, Credentials: "stats"}}
			if got := m.Measure(t.Context(), a, "default", Pod{}); got.Outcome != Good {
				t.Errorf("%+v", got)
			}
			want = c.next
			if got := m.Measure(t.Context(), a, "default", Pod{}); got.Outcome != Bad || !strings.Contains(got.Why, "401") {
				t.Errorf("the old ones: %+v", got)
			}
			for file, content := range c.files {
				mounted(t, dir, "stats", map[string]string{file: strings.ReplaceAll(content, "s3cret", "n3w")})
			}
			if got := m.Measure(t.Context(), a, "default", Pod{}); got.Outcome != Good {
				t.Errorf("rotated: %+v", got)
			}
		})
	}
}

func TestCredentialsGoNowhereElse(t *testing.T) {
	want := "Bearer s3cret"
	server, host := guarded(t, httptest.NewServer, "Authorization", &want)
	dir := Credentials(t.TempDir())
	mounted(t, dir, "other", map[string]string{"token": "s3cret", "hosts": "prometheus.monitoring:9090"})
	mounted(t, dir, "anywhere", map[string]string{"token": "s3cret"})
	mounted(t, dir, "both", map[string]string{"token": "s3cret", "username": "ann", "hosts": host})
	mounted(t, dir, "broken", map[string]string{"headers": "s3cret", "hosts": host})
	mounted(t, dir, "untrusted", map[string]string{"ca.crt": "s3cret", "hosts": host})
	ca := certtest.New(t).PEM()
	mounted(t, dir, "halved", map[string]string{"ca.crt": ca + ca[:len(ca)/2], "hosts": host})
	mounted(t, dir, "good", map[string]string{"token": "s3cret", "hosts": host})
	m := New(nil, loopback, dir)
	for name, words := range map[string]string{
		"other":     "credentials other are not for " + host,
		"anywhere":  "credentials anywhere: there is no file hosts",
		"missing":   "credentials missing: there is no file hosts",
		"both":      "give either token, or username and password",
		"broken":    `file headers: want lines such as "X-Scope-OrgID: games"`,
		"untrusted": "file ca.crt holds no certificate",
		"halved":    "file ca.crt holds certificates, but number 2 of 2 cannot be read",
		"good":      "it redirects, and credentials good go nowhere else",
	} {
		a := api.Analysis{HTTP: &api.HTTPMeasure{URL: server.URL + "/away", Credentials: name}}
		got := m.Measure(t.Context(), a, "default", Pod{})
		if got.Outcome != Unclear || !strings.Contains(got.Why, words) {
			t.Errorf("%s: %+v, want %q", name, got, words)
		}
		if strings.Contains(got.Why, "s3cret") || strings.Contains(got.Why, string(dir)) {
			t.Errorf("%s tells too much: %s", name, got.Why)
		}
	}
	query := api.Analysis{Prometheus: &api.PrometheusMeasure{Address: server.URL, Query: "up", Credentials: "good"}, Success: "true"}
	if got := m.Measure(t.Context(), query, "default", Pod{}); got.Outcome != Unclear || !strings.HasSuffix(got.Why, "you sent …") {
		t.Errorf("what Prometheus repeats: %+v", got)
	}
}

func TestCertificatesOfOnesOwnAreTrusted(t *testing.T) {
	want := "Bearer s3cret"
	server, host := guarded(t, httptest.NewTLSServer, "Authorization", &want)
	dir := Credentials(t.TempDir())
	mounted(t, dir, "stats", map[string]string{"token": "s3cret", "hosts": host})
	m := New(nil, loopback, dir)
	a := api.Analysis{HTTP: &api.HTTPMeasure{URL: server.URL, Credentials: "stats"}}
	if got := m.Measure(t.Context(), a, "default", Pod{}); got.Outcome != Unclear || !strings.Contains(got.Why, "certificate") {
		t.Errorf("a stranger is trusted: %+v", got)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	mounted(t, dir, "stats", map[string]string{"ca.crt": string(ca)})
	if got := m.Measure(t.Context(), a, "default", Pod{}); got.Outcome != Good {
		t.Errorf("%+v", got)
	}
}
