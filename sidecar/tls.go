package sidecar

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"hotpatch.dev/hotpatch/internal/authorities"
	"hotpatch.dev/hotpatch/internal/logging"
)

// keys are the server's certificate and the authority of its callers'. The
// files are looked at for each connection, because mounted Secrets rotate; new
// ones that cannot be used are told in the log, and the last good ones hold.
type keys struct {
	files TLS

	mu    sync.Mutex
	stamp string // of the files as they were read last
	good  *tls.Config
}

// newKeys is nil if the config has no TLS.
func newKeys(ctx context.Context, c *TLS) (*keys, error) {
	if c == nil {
		return nil, nil
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, errors.New("tls: give certFile and keyFile")
	}
	k := &keys{files: *c}
	if k.current(ctx); k.good == nil {
		_, err := k.read()
		return nil, fmt.Errorf("tls: %w", err)
	}
	return k, nil
}

// config is of the server.
func (k *keys) config(ctx context.Context) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.current(ctx), nil },
	}
}

// current is what the files say now, or said when they were last good.
func (k *keys) current(ctx context.Context) *tls.Config {
	k.mu.Lock()
	defer k.mu.Unlock()
	stamp := k.look()
	if stamp == k.stamp {
		return k.good
	}
	k.stamp = stamp
	fresh, err := k.read()
	if err != nil {
		logging.From(ctx).WithError(err).Error("the new certificates cannot be used; the last good ones hold")
		return k.good
	}
	k.good = fresh
	return k.good
}

// look tells one state of the files from another.
func (k *keys) look() string {
	var stamp strings.Builder
	for _, file := range []string{k.files.CertFile, k.files.KeyFile, k.files.ClientCAFile} {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprint(&stamp, info.ModTime().UnixNano(), " ", info.Size())
		}
		stamp.WriteByte('\n')
	}
	return stamp.String()
}

func (k *keys) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(k.files.CertFile, k.files.KeyFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if k.files.ClientCAFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(k.files.ClientCAFile)
	if err != nil {
		return nil, err
	}
	c.ClientCAs = x509.NewCertPool()
	if err := authorities.Add(c.ClientCAs, string(pem)); err != nil {
		return nil, fmt.Errorf("%s %w", k.files.ClientCAFile, err)
	}
	// Probes come without one: who may post is for the handler to say.
	c.ClientAuth = tls.VerifyClientCertIfGiven
	return c, nil
}
