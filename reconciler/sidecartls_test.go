package reconciler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/certtest"
	"hotpatch.dev/hotpatch/sidecar"
)

// runSidecar runs the real one and returns its "ip:port" and the directory of its
// files.
func runSidecar(t *testing.T, lines string) (address, dir string) {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, dir = free.Addr().String(), t.TempDir()
	free.Close()
	config := filepath.Join(t.TempDir(), "config.yaml")
	lines = "plugins: [{name: hot_update, config: {loadPatchType: none}}]\ndownload:\n  allowAddresses: [127.0.0.1/32]\n" + lines
	if err := os.WriteFile(config, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- sidecar.Run(ctx, sidecar.Options{Configs: []string{config}, Listen: address, Dir: dir})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return address, dir
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// secured is a sidecar that takes the reconciler's certificate and nobody else's,
// and how it is called.
func secured(t *testing.T) (address, dir string, over SidecarTLS, keys string, ca *certtest.Authority) {
	server, own := t.TempDir(), t.TempDir()
	ca = certtest.New(t)
	ca.Write(server, ca.Pair("hotpatch-sidecar"))
	ca.Write(own, ca.Pair("hotpatch-reconciler"))
	address, dir = runSidecar(t, fmt.Sprintf("tls: {certFile: %[1]s/tls.crt, keyFile: %[1]s/tls.key, clientCAFile: %[1]s/ca.crt}\nauth: {clientCertificate: {allowedNames: [hotpatch-reconciler]}}\n", server))
	return address, dir, SidecarTLS{CAFile: own + "/ca.crt", CertFile: own + "/tls.crt", KeyFile: own + "/tls.key", ServerName: "hotpatch-sidecar"}, own, ca
}

// upstream serves a file, and is how a sidecar is asked for it.
func upstream(t *testing.T, version string) api.DesiredFile {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, version) }))
	t.Cleanup(server.Close)
	sum := sha256.Sum256([]byte(version))
	return api.DesiredFile{Path: "level.json", Version: version, URL: server.URL + "/level.json", SHA256: hex.EncodeToString(sum[:])}
}

func TestSidecarsAreCalledOverHTTPS(t *testing.T) {
	address, dir, over, _, ca := secured(t)
	if err := newSidecars("", over).update(context.Background(), address, "", upstream(t, "v1")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dir + "/level.json"); err != nil || string(got) != "v1" {
		t.Errorf("on disk: %q, %v", got, err)
	}

	nobody, other, stranger, halved := over, over, over, over
	nobody.CertFile, nobody.KeyFile = "", ""
	other.ServerName = "somebody-else"
	stranger.CAFile = t.TempDir() + "/ca.crt"
	if err := os.WriteFile(stranger.CAFile, []byte(certtest.New(t).PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	halved.CAFile = t.TempDir() + "/ca.crt"
	if err := os.WriteFile(halved.CAFile, []byte(ca.PEM()+ca.PEM()[:100]), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		over SidecarTLS
		want string
	}{
		"plain HTTP":                   {SidecarTLS{}, "answers 400"},
		"no certificate":               {nobody, "answers 401: unauthorized: show a certificate"},
		"a server of another name":     {other, "not somebody-else"},
		"a server of nobody we know":   {stranger, "unknown authority"},
		"authorities cut short":        {halved, "ca.crt holds certificates, but number 2 of 2 cannot be read"},
		"an authority that is missing": {SidecarTLS{CAFile: "/nowhere/ca.crt", ServerName: "hotpatch-sidecar"}, "read --sidecar-ca-file"},
	} {
		err := newSidecars("", c.over).update(context.Background(), address, "", upstream(t, "v2"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", what, err, c.want)
		}
	}
	if got, err := os.ReadFile(dir + "/level.json"); err != nil || string(got) != "v1" {
		t.Errorf("on disk after all that: %q, %v", got, err)
	}
}

// The client's files are read for each connection.
func TestSidecarCertificatesRotate(t *testing.T) {
	address, _, over, own, ca := secured(t)
	calls := newSidecars("", over)
	update := func(version string) error {
		calls.client.CloseIdleConnections()
		return calls.update(context.Background(), address, "", upstream(t, version))
	}
	if err := update("v1"); err != nil {
		t.Fatal(err)
	}
	ca.Write(own, ca.Pair("somebody"))
	if err := update("v2"); err == nil || !strings.Contains(err.Error(), "answers 403") {
		t.Errorf("with a new certificate of another name: %v", err)
	}
	ca.Write(own, ca.Pair("hotpatch-reconciler"))
	if err := update("v3"); err != nil {
		t.Errorf("with a new good one: %v", err)
	}
}

func TestSidecarTLSIsWholeOrNot(t *testing.T) {
	for want, over := range map[string]SidecarTLS{
		"":                                 {CAFile: "ca", ServerName: "s"},
		"need --sidecar-ca-file":           {CertFile: "c", KeyFile: "k", ServerName: "s"},
		"give both":                        {CAFile: "ca", CertFile: "c", ServerName: "s"},
		"--sidecar-server-name is not set": {CAFile: "ca"},
	} {
		err := over.validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", over, err, want)
		}
	}
}
