// Package certtest makes certificates for tests, as cert-manager would for Secrets.
package certtest

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates that are good for an hour.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// Pair is a certificate and its key in PEM form.
type Pair struct{ Cert, Key string }

// New is an authority that nobody knows yet.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate of a new key, by itself if there is no other yet.
func (a *Authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.next++
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(a.next), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
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

// Pair is made out to a DNS name, and to 127.0.0.1, for servers and clients.
func (a *Authority) Pair(name string) Pair {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return Pair{encoded("CERTIFICATE", cert.Raw), encoded("PRIVATE KEY", der)}
}

// TLS is a pair to show.
func (a *Authority) TLS(p Pair) tls.Certificate {
	a.t.Helper()
	shown, err := tls.X509KeyPair([]byte(p.Cert), []byte(p.Key))
	if err != nil {
		a.t.Fatal(err)
	}
	return shown
}

// PEM is the authority's own certificate.
func (a *Authority) PEM() string { return encoded("CERTIFICATE", a.cert.Raw) }

// Pool trusts this authority, and no other.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Trusts is how a client talks to servers of this authority under a name.
func (a *Authority) Trusts(name string) *tls.Config {
	return &tls.Config{RootCAs: a.Pool(), ServerName: name}
}

// Sees connects, and believes in no other authority.
func (a *Authority) Sees(address, name string) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, a.Trusts(name))
	if err != nil {
		return err
	}
	return conn.Close()
}

// Files are a pair beside its authority, by the names that Secrets have them under.
func (a *Authority) Files(p Pair) map[string]string {
	return map[string]string{"tls.crt": p.Cert, "tls.key": p.Key, "ca.crt": a.PEM()}
}

// Write puts the files into a directory.
func (a *Authority) Write(dir string, p Pair) {
	a.t.Helper()
	for name, content := range a.Files(p) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

// Archive has the files in one, for tar.
func (a *Authority) Archive(p Pair) []byte {
	a.t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range a.Files(p) {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
			a.t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		a.t.Fatal(err)
	}
	return out.Bytes()
}

func encoded(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
