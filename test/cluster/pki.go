package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs the certificates of one box.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// makePKI writes the CA, every certificate and kubeconfig, and the service
// account key. It runs once: an existing CA is the sign that all is there.
func makePKI(nodes int) error {
	if _, err := os.Stat(pkiFile("ca.crt")); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(pkiFile("x")), 0o700); err != nil {
		return err
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	if err := ca.components(); err != nil {
		return err
	}
	for n := 1; n <= nodes; n++ {
		if err := ca.node(n); err != nil {
			return err
		}
	}
	if err := serviceAccountKey(); err != nil {
		return err
	}
	return writePEM(pkiFile("ca.crt"), "CERTIFICATE", ca.cert.Raw)
}

func (ca *authority) components() error {
	if err := ca.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, nodeAddress(1), "127.0.0.1", serviceAPI,
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"); err != nil {
		return err
	}
	if err := ca.issue("apiserver-kubelet", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: []string{"system:masters"}}); err != nil {
		return err
	}
	for user, name := range map[string]pkix.Name{
		"admin":              {CommonName: "admin", Organization: []string{"system:masters"}},
		"controller-manager": {CommonName: "system:kube-controller-manager"},
		"scheduler":          {CommonName: "system:kube-scheduler"},
		"proxy":              {CommonName: "system:kube-proxy"},
	} {
		if err := ca.user(user, name); err != nil {
			return err
		}
	}
	return nil
}

func (ca *authority) node(n int) error {
	if err := ca.issue(nodeName(n)+"-server", pkix.Name{CommonName: nodeName(n)}, nodeAddress(n), nodeName(n)); err != nil {
		return err
	}
	return ca.user(nodeName(n), pkix.Name{CommonName: "system:node:" + nodeName(n), Organization: []string{"system:nodes"}})
}

// user issues a client certificate and writes a kubeconfig that uses it.
func (ca *authority) user(user string, name pkix.Name) error {
	if err := ca.issue(user, name); err != nil {
		return err
	}
	config := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: box
clusters: [{name: box, cluster: {server: %q, certificate-authority: %s}}]
users: [{name: %s, user: {client-certificate: %s, client-key: %s}}]
contexts: [{name: box, context: {cluster: box, user: %s}}]
`, apiURL, pkiFile("ca.crt"), user, pkiFile(user+".crt"), pkiFile(user+".key"), user)
	return os.WriteFile(kubeconfigFile(user), []byte(config), 0o600)
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := template(pkix.Name{CommonName: "hotpatch-box"})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert: cert, key: key}, err
}

// issue writes NAME.crt and NAME.key; hosts make it a server's certificate.
func (ca *authority) issue(name string, subject pkix.Name, hosts ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := template(subject)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return err
	}
	if err := writePEM(pkiFile(name+".crt"), "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(pkiFile(name+".key"), key)
}

func serviceAccountKey() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(pkiFile("service-accounts.pub"), "PUBLIC KEY", public); err != nil {
		return err
	}
	return writeKey(pkiFile("service-accounts.key"), key)
}

func template(subject pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial, Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(file, "EC PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
