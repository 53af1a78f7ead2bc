package reconciler

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"hotpatch.dev/hotpatch/internal/authorities"
)

const handshakeTimeout = 5 * time.Second

// SidecarTLS has sidecars called over HTTPS. Its PEM files are read for each
// connection, because mounted Secrets rotate.
type SidecarTLS struct {
	// CAFile holds the authorities of the sidecars' certificates; empty: plain HTTP.
	CAFile string
	// CertFile and KeyFile are shown to sidecars that want a certificate; empty:
	// none is.
	CertFile, KeyFile string
	// ServerName is what the sidecars' certificates must be made out to. Pods are
	// called by their addresses, which change too often to be certified.
	ServerName string
}

func (t SidecarTLS) validate() error {
	switch {
	case t.CAFile == "" && (t.CertFile != "" || t.KeyFile != ""):
		return errors.New("--sidecar-client-cert-file and --sidecar-client-key-file need --sidecar-ca-file, which has sidecars called over HTTPS")
	case (t.CertFile == "") != (t.KeyFile == ""):
		return errors.New("give both of --sidecar-client-cert-file and --sidecar-client-key-file, or neither")
	case t.CAFile != "" && t.ServerName == "":
		return errors.New("--sidecar-server-name is not set; the sidecars' certificates are checked for it")
	}
	return nil
}

// scheme of the calls.
func (t SidecarTLS) scheme() string {
	if t.CAFile == "" {
		return "http"
	}
	return "https"
}

// dial connects to a sidecar and makes sure that it is one.
func (t SidecarTLS) dial(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	return (&tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: config}).DialContext(ctx, network, address)
}

// config is what the files say now.
func (t SidecarTLS) config() (*tls.Config, error) {
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read --sidecar-ca-file: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, RootCAs: x509.NewCertPool()}
	if err := authorities.Add(c.RootCAs, string(pem)); err != nil {
		return nil, fmt.Errorf("--sidecar-ca-file %s %w", t.CAFile, err)
	}
	if t.CertFile == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read --sidecar-client-cert-file and its key: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
