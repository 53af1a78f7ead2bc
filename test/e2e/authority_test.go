package e2e

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
	"testing"
	"time"
)

// authority signs certificates, as cert-manager would.
type authority struct {
	*testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

// pair is a certificate and its key, as PEM.
type pair struct{ cert, key string }

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{T: t}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "e2e"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate of a new key, by itself if it has none yet.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	a.next++
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(a.next), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return cert, key
}

// pair is made out to a DNS name, for servers and clients.
func (a *authority) pair(name string) pair {
	a.Helper()
	cert, key := a.sign(&x509.Certificate{DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.Fatal(err)
	}
	return pair{encoded("CERTIFICATE", cert.Raw), encoded("PRIVATE KEY", der)}
}

func encoded(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// files are a pair beside its authority, by the names that Secrets have them under.
func (a *authority) files(p pair) map[string]string {
	return map[string]string{"tls.crt": p.cert, "tls.key": p.key, "ca.crt": encoded("CERTIFICATE", a.cert.Raw)}
}

// archive has the files in one.
func (a *authority) archive(p pair) string {
	a.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range a.files(p) {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
			a.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			a.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		a.Fatal(err)
	}
	return out.String()
}

// trusts is how a client talks to servers of this authority under a name.
func (a *authority) trusts(name string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: name}
}

// sees connects, and believes in no other authority.
func (a *authority) sees(address, name string) error {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, a.trusts(name))
	if err != nil {
		return err
	}
	return conn.Close()
}
