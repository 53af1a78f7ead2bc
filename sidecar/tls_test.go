package sidecar

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certs is an authority that signs certificates.
type certs struct {
	t    *testing.T
	ca   *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newCerts(t *testing.T) *certs {
	c := &certs{t: t}
	c.ca, c.key, _ = c.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return c
}

func (c *certs) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, tls.Certificate) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	c.next++
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(c.next), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, parentKey := c.ca, c.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		c.t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	return cert, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}
}

// of is a certificate of 127.0.0.1 with a DNS name.
func (c *certs) of(name string) tls.Certificate {
	_, _, pair := c.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "ignored"}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	return pair
}

// write puts a certificate and its key where a sidecar reads them.
func (c *certs) write(dir string, pair tls.Certificate) {
	c.t.Helper()
	key, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]},
		"tls.key": {Type: "EC PRIVATE KEY", Bytes: key},
		"ca.crt":  {Type: "CERTIFICATE", Bytes: c.ca.Raw},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// securely posts v1 over HTTPS, and tells the server's certificate as well.
func (c *certs) securely(w *world, own ...tls.Certificate) (code int, body, server string) {
	roots := x509.NewCertPool()
	roots.AddCert(c.ca)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: own}}}
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
	c, dir := newCerts(t), t.TempDir()
	c.write(dir, c.of("first.example"))
	w := newWorld(t, added(fmt.Sprintf("tls: {certFile: %[1]s/tls.crt, keyFile: %[1]s/tls.key}\n", dir)))
	if code, body, server := c.securely(w); code != 200 || server != "first.example" {
		t.Errorf("%d %q %s", code, body, server)
	}
	if code, _ := w.post("v1", "/index.html"); code != 400 { // plain HTTP
		t.Errorf("over HTTP: %d", code)
	}
	os.WriteFile(dir+"/tls.crt", []byte("half a cert"), 0o600)
	if code, body, server := c.securely(w); code != 200 || server != "first.example" {
		t.Errorf("with a broken certificate: %d %q %s", code, body, server)
	}
	c.write(dir, c.of("second.example"))
	if code, body, server := c.securely(w); code != 200 || server != "second.example" {
		t.Errorf("after the rotation: %d %q %s", code, body, server)
	}
}

func TestClientCertificates(t *testing.T) {
	c, others, dir := newCerts(t), newCerts(t), t.TempDir()
	c.write(dir, c.of("sidecar.example"))
	w := newWorld(t, added(fmt.Sprintf("tls: {certFile: %[1]s/tls.crt, keyFile: %[1]s/tls.key, clientCAFile: %[1]s/ca.crt}\nauth: {clientCertificate: {allowedNames: [reconciler.example]}}\n", dir)))
	if code, body, _ := c.securely(w); code != 401 {
		t.Errorf("without a certificate: %d %q", code, body)
	}
	if code, body, _ := c.securely(w, c.of("somebody.example")); code != 403 || !strings.Contains(body, "somebody.example") {
		t.Errorf("with another's name: %d %q", code, body)
	}
	if code, body, _ := c.securely(w, others.of("reconciler.example")); code == 200 {
		t.Errorf("with another authority's certificate: %d %q", code, body)
	}
	if code, body, _ := c.securely(w, c.of("reconciler.example")); code != 200 {
		t.Errorf("the reconciler: %d %q", code, body)
	}
}
