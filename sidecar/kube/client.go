// Package kube makes the five calls to the Kubernetes API that a sidecar needs:
// patch its pod's annotations, ask whose a pod is, read and write keys of a
// ConfigMap, and have a token reviewed. client-go, for as much, would make the
// program three times as large.
//
// It promises that no call reads an object to write it back, so that nobody
// else's writes are lost; that the ServiceAccount's token is read again as it
// rotates; that passing failures are retried for a few seconds and no longer;
// and that no error tells a token.
package kube

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// ServiceAccountDir is where the kubelet puts what a pod needs to call the API.
const ServiceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"

// Limits of one call.
const (
	tries         = 4
	firstPause    = 100 * time.Millisecond
	tryTimeout    = 5 * time.Second
	maxAnswer     = 2 << 20 // a ConfigMap may have 1 MiB
	maxIdleTime   = 30 * time.Second
	mergePatch    = "application/merge-patch+json"
	plainJSON     = "application/json"
	reasonAtMost  = 300 // bytes of the API server's own words in an error
	tokenFile     = "/token"
	caFile        = "/ca.crt"
	namespaceFile = "/namespace"
)

// Client calls one API server as one ServiceAccount.
type Client struct {
	base  string // "https://10.96.0.1:443"
	token string // file
	http  *http.Client
}

// InCluster is the client of a pod: address from the environment, token and CA
// from dir.
func InCluster(dir string) (*Client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("not in a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
	}
	pem, err := os.ReadFile(dir + caFile)
	if err != nil {
		return nil, fmt.Errorf("read the API server's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s%s holds no certificate", dir, caFile)
	}
	return New("https://"+net.JoinHostPort(host, port), dir+tokenFile, &tls.Config{RootCAs: pool}), nil
}

// New is a client of the API server at base.
func New(base, tokenFile string, tls *tls.Config) *Client {
	transport := &http.Transport{
		TLSClientConfig:     tls,
		MaxIdleConns:        2,
		MaxConnsPerHost:     4,
		IdleConnTimeout:     maxIdleTime,
		TLSHandshakeTimeout: tryTimeout,
	}
	return &Client{base: base, token: tokenFile, http: &http.Client{Transport: transport, Timeout: tryTimeout}}
}

// Namespace is the pod's own as the kubelet mounted it, "" if it did not.
func Namespace(dir string) string {
	name, err := os.ReadFile(dir + namespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// call is one request; the body is sent anew with each try.
type call struct {
	method, path string
	contentType  string // of the body
	accept       string // JSON, if it is ""
	body         []byte
}

// statusError is an answer other than 2xx.
type statusError struct {
	code   int
	reason string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the API server answered %d: %s", e.code, e.reason)
}

// NotFound tells whether there is no such object.
func NotFound(err error) bool { return is(err, http.StatusNotFound) }

func is(err error, code int) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == code
}

// do makes the call and decodes the answer into out, if that is not nil.
func (c *Client) do(ctx context.Context, what call, out any) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := c.once(ctx, what, out)
		if err == nil || try == tries || !passing(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause *= 3
	}
}

func (c *Client) once(ctx context.Context, what call, out any) error {
	req, err := http.NewRequestWithContext(ctx, what.method, c.base+what.path, bytes.NewReader(what.body))
	if err != nil {
		return err
	}
	token, err := os.ReadFile(c.token)
	if err != nil {
		return fmt.Errorf("read the ServiceAccount's token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Accept", cmp.Or(what.accept, plainJSON))
	req.Header.Set("User-Agent", "hotpatch-sidecar")
	if what.body != nil {
		req.Header.Set("Content-Type", what.contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("call the API server: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the API server's answer: %w", err)
	}
	return decode(resp.StatusCode, answer, out)
}

func decode(code int, answer []byte, out any) error {
	if code < 200 || code > 299 {
		var status struct{ Message string }
		if json.Unmarshal(answer, &status) != nil || status.Message == "" {
			status.Message = string(answer[:min(len(answer), reasonAtMost)])
		}
		return &statusError{code: code, reason: status.Message}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the API server's answer: %w", err)
	}
	return nil
}

// passing tells whether trying again may help.
func passing(err error) bool {
	var status *statusError
	if !errors.As(err, &status) {
		return true
	}
	return status.code == http.StatusTooManyRequests || status.code >= 500
}
