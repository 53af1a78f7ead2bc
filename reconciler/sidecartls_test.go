package reconciler

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/sidecar"
)

// authority signs certificates of the names it is asked for.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.cert, a.key = a.sign(template)
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// write puts ca.crt, tls.crt and tls.key into dir, as Secrets have them.
func (a *authority) write(dir, name string) {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{DNSNames: []string{name}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"ca.crt":  {Type: "CERTIFICATE", Bytes: a.cert.Raw},
		"tls.crt": {Type: "CERTIFICATE", Bytes: cert.Raw},
		"tls.key": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

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
func secured(t *testing.T) (address, dir string, over SidecarTLS, keys string, ca *authority) {
	server, own := t.TempDir(), t.TempDir()
	ca = newAuthority(t)
	ca.write(server, "hotpatch-sidecar")
	ca.write(own, "hotpatch-reconciler")
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
	address, dir, over, _, _ := secured(t)
	if err := newSidecars("", over).update(context.Background(), address, "", upstream(t, "v1")); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dir + "/level.json"); err != nil || string(got) != "v1" {
		t.Errorf("on disk: %q, %v", got, err)
	}

	nobody, other, stranger := over, over, over
	nobody.CertFile, nobody.KeyFile = "", ""
	other.ServerName = "somebody-else"
	stranger.CAFile = t.TempDir() + "/ca.crt"
	newAuthority(t).write(filepath.Dir(stranger.CAFile), "x")
	for what, c := range map[string]struct {
		over SidecarTLS
		want string
	}{
		"plain HTTP":                   {SidecarTLS{}, "answers 400"},
		"no certificate":               {nobody, "answers 401: unauthorized: show a certificate"},
		"a server of another name":     {other, "not somebody-else"},
		"a server of nobody we know":   {stranger, "unknown authority"},
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
	ca.write(own, "somebody")
	if err := update("v2"); err == nil || !strings.Contains(err.Error(), "answers 403") {
		t.Errorf("with a new certificate of another name: %v", err)
	}
	ca.write(own, "hotpatch-reconciler")
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
