package gitsource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpproxy"

	"hotpatch.dev/hotpatch/internal/authorities"
)

// web is how a remote gets to servers over HTTP: through proxies, with a client's
// certificate. Connections are kept, so that a poll shakes no hands.
type web struct {
	auth    Auth
	refused func() // called when a credential was not taken; may be nil
	silence *Silence

	mu   sync.Mutex
	held string // what the files had
	kept *http.Transport
}

// transport is for Git: what is no answer of Git's is an error.
func (w *web) transport() (http.RoundTripper, error) {
	kept, err := w.connections()
	if err != nil {
		return nil, err
	}
	return answers{w, kept}, nil
}

// connections reads the files at each use, so that rotated ones are used at once.
func (w *web) connections() (*http.Transport, error) {
	files, err := w.read()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	held := strings.Join(files, "\x00")
	if w.kept == nil || held != w.held {
		tls, err := w.tls(files[0], files[1], files[2])
		if err != nil {
			return nil, err
		}
		if w.kept != nil {
			w.kept.CloseIdleConnections()
		}
		w.held, w.kept = held, through(tls)
	}
	return w.kept, nil
}

// through are connections by what the environment says of proxies.
func through(config *tls.Config) *http.Transport {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		TLSClientConfig:     config,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,

		OnProxyConnectResponse: judgeProxy,
	}
}

var errProxy = errors.New("the proxy")

// judgeProxy says who refuses, which the library does not.
func judgeProxy(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("%w %s answers %s", errProxy, proxy.Host, answer.Status)
}

// read is what the files with authorities, certificate and key have; "" without one.
func (w *web) read() ([]string, error) {
	a := w.auth
	if (a.ClientCertFile == "") != (a.ClientKeyFile == "") {
		return nil, errors.New("a client certificate for Git needs its key, and the key its certificate: set both --git-client-cert-file and --git-client-key-file")
	}
	var held []string
	for _, file := range []string{a.CAFile, a.ClientCertFile, a.ClientKeyFile} {
		if file == "" {
			held = append(held, "")
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a file for HTTPS to the Git server: %w", err)
		}
		held = append(held, string(content))
	}
	return held, nil
}

func (w *web) tls(bundle, certificate, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if w.auth.CAFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if err := authorities.Add(pool, bundle); err != nil {
			return nil, fmt.Errorf("%s %w", w.auth.CAFile, err)
		}
		config.RootCAs = pool
	}
	if w.auth.ClientCertFile != "" {
		pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
		if err != nil {
			return nil, fmt.Errorf("the client certificate in %s with the key in %s: %w", w.auth.ClientCertFile, w.auth.ClientKeyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
