// Package download fetches files from addresses that strangers name.
//
// It promises that what it hands on is exactly what a 200 answer held: whole,
// within the size limit, with the digest asked for; that loopback, link-local
// and metadata addresses are never connected to, however they are spelled,
// resolved or redirected to, unless configured; and that it ends in time.
package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/internal/guard"
)

const (
	dialTimeout   = 10 * time.Second
	headerTimeout = 20 * time.Second
	idleTime      = 30 * time.Second
	maxHeader     = 64 << 10
)

// Limits of one download.
type Limits struct {
	// Bytes at the most.
	Bytes int64
	// Timeout of the whole download.
	Timeout time.Duration
	// URLs are the only ones that are fetched, with all below them; none: any.
	URLs []*url.URL
	// Allow are addresses that would otherwise be refused.
	Allow []netip.Prefix
	// TokenFile holds a bearer token for TokenFor and all below it, and for nobody
	// else; "": none. It is read for each request, because tokens rotate.
	TokenFile string
	TokenFor  *url.URL
}

// Client downloads within limits.
type Client struct {
	limits Limits
	http   *http.Client
}

// New is a client with these limits. Proxies of the environment are not used:
// behind one, nobody could check where a name leads.
func New(limits Limits) *Client {
	transport := &http.Transport{
		DialContext:            guard.Guard{Allow: limits.Allow, Where: "download.allowAddresses of the sidecar's config"}.Dialer().DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           4,
		IdleConnTimeout:        idleTime,
		DisableCompression:     true, // the file as it is, not as it was packed
	}
	c := &Client{limits: limits}
	c.http = &http.Client{Transport: transport, CheckRedirect: c.redirect}
	return c
}

func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	if err := guard.Redirect(req, via); err != nil {
		return err
	}
	if !c.limits.trusts(req.URL) {
		req.Header.Del("Authorization") // it was copied from the request before
	}
	return c.limits.permit(req.URL)
}

// trusts tells whether a URL is of those who get the token.
func (l Limits) trusts(u *url.URL) bool {
	return l.TokenFile != "" && l.TokenFor != nil && below(l.TokenFor, u)
}

// show adds the token to a request to those who get it.
func (l Limits) show(req *http.Request) error {
	if !l.trusts(req.URL) {
		return nil
	}
	token, err := os.ReadFile(l.TokenFile)
	if err != nil {
		return fmt.Errorf("read the token to show: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return nil
}

// permit says no to URLs that are not on the list, where there is one.
func (l Limits) permit(u *url.URL) error {
	if len(l.URLs) == 0 || slices.ContainsFunc(l.URLs, func(base *url.URL) bool { return below(base, u) }) {
		return nil
	}
	return fmt.Errorf("%s://%s%s is not among download.allowURLs of the sidecar's config", u.Scheme, u.Host, u.EscapedPath())
}

// below tells whether u is base or below it. Dots in its path are followed
// first, as servers do.
func below(base, u *url.URL) bool {
	if u.Scheme != base.Scheme || !strings.EqualFold(authority(u), authority(base)) {
		return false
	}
	dir, name := path.Clean("/"+base.Path), path.Clean("/"+u.Path)
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}

// authority is host and port.
func authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Get writes what from answers to into and returns its SHA-256 in hex. If want
// is not "", any other digest is an error. After an error what was written is
// worthless.
func (c *Client) Get(ctx context.Context, from *url.URL, want string, into io.Writer) (digest string, err error) {
	if err := guard.CheckURL(from); err != nil {
		return "", err
	}
	if err := c.limits.permit(from); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.limits.Timeout, fmt.Errorf("not done after %s", c.limits.Timeout))
	defer cancel()
	digest, err = c.get(ctx, from, into)
	if err != nil && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if err != nil {
		return "", guard.WithoutURL(err)
	}
	if want != "" && digest != want {
		return "", fmt.Errorf("the content has sha256 %s, not %s as asked", digest, want)
	}
	return digest, nil
}

func (c *Client) get(ctx context.Context, from *url.URL, into io.Writer) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("User-Agent", "hotpatch-sidecar")
	if err := c.limits.show(req); err != nil {
		return "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server answered %s", resp.Status)
	}
	if resp.ContentLength > c.limits.Bytes {
		return "", c.tooLarge()
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(into, sum), io.LimitReader(resp.Body, c.limits.Bytes+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "", fmt.Errorf("the content ended early, after %d bytes", n)
	case err != nil:
		return "", err
	case n > c.limits.Bytes:
		return "", c.tooLarge()
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func (c *Client) tooLarge() error {
	return fmt.Errorf("the content is larger than the limit of %d bytes", c.limits.Bytes)
}
