package sidecar

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/internal/certtest"
)

// securely posts v1 over HTTPS, and tells the server's certificate as well.
func securely(w *world, c *certtest.Authority, own ...tls.Certificate) (code int, body, server string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: c.Pool(), Certificates: own}}}
	resp, err := client.Post(strings.Replace(w.url, "http:", "https:", 1), form, strings.NewReader("version=v1&url="+url.QueryEscape(w.up.URL+"/index.html")))
	if err != nil {
		return 0, err.Error(), ""
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), resp.TLS.PeerCertificates[0].DNSNames[0]
}

// HTTPS, with certificates that are replaced while it runs, and with broken
// ones in between.
func TestHTTPS(t *testing.T) {
	c, dir := certtest.New(t), t.TempDir()
	c.Write(dir, c.Pair("first.example"))
	w := newWorld(t, added(fmt.Sprintf("tls: {certFile: %[1]s/tls.crt, keyFile: %[1]s/tls.key}\n", dir)))
	if code, body, server := securely(w, c); code != 200 || server != "first.example" {
		t.Errorf("%d %q %s", code, body, server)
	}
	if code, _ := w.post("v1", "/index.html"); code != 400 { // plain HTTP
		t.Errorf("over HTTP: %d", code)
	}
	os.WriteFile(dir+"/tls.crt", []byte("half a cert"), 0o600)
	if code, body, server := securely(w, c); code != 200 || server != "first.example" {
		t.Errorf("with a broken certificate: %d %q %s", code, body, server)
	}
	c.Write(dir, c.Pair("second.example"))
	if code, body, server := securely(w, c); code != 200 || server != "second.example" {
		t.Errorf("after the rotation: %d %q %s", code, body, server)
	}
}

func TestClientCertificates(t *testing.T) {
	c, others, dir := certtest.New(t), certtest.New(t), t.TempDir()
	c.Write(dir, c.Pair("sidecar.example"))
	w := newWorld(t, added(fmt.Sprintf("tls: {certFile: %[1]s/tls.crt, keyFile: %[1]s/tls.key, clientCAFile: %[1]s/ca.crt}\nauth: {clientCertificate: {allowedNames: [reconciler.example]}}\n", dir)))
	if code, body, _ := securely(w, c); code != 401 {
		t.Errorf("without a certificate: %d %q", code, body)
	}
	if code, body, _ := securely(w, c, c.TLS(c.Pair("somebody.example"))); code != 403 || !strings.Contains(body, "somebody.example") {
		t.Errorf("with another's name: %d %q", code, body)
	}
	if code, body, _ := securely(w, c, others.TLS(others.Pair("reconciler.example"))); code == 200 {
		t.Errorf("with another authority's certificate: %d %q", code, body)
	}
	if code, body, _ := securely(w, c, c.TLS(c.Pair("reconciler.example"))); code != 200 {
		t.Errorf("the reconciler: %d %q", code, body)
	}
}

// A caller's authority must not be missing without a word.
func TestBrokenAuthoritiesOfCallersAreRefused(t *testing.T) {
	c, dir := certtest.New(t), t.TempDir()
	c.Write(dir, c.Pair("sidecar.example"))
	authorities := dir + "/ca.crt"
	if err := os.WriteFile(authorities, []byte(c.PEM()+c.PEM()[:100]), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newKeys(t.Context(), &TLS{CertFile: dir + "/tls.crt", KeyFile: dir + "/tls.key", ClientCAFile: authorities})
	if want := authorities + " holds certificates, but number 2 of 2 cannot be read"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}
