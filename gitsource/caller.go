package gitsource

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// Caller calls a forge's API as Git is called: with the token, the authorities, the
// client certificate and the proxies that the same files and the environment name.
// Files are read at each use.
type Caller struct{ remote remote }

// NewCaller refuses files that contradict themselves.
func NewCaller(a Auth) (*Caller, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	silence := &Silence{}
	app := &appTokens{auth: a, web: &web{auth: a, silence: silence}}
	return &Caller{remote{Options: Options{Auth: a}, web: &web{auth: a, silence: silence}, app: app}}, nil
}

var errNoToken = errors.New("there is no token for the forge's API: neither one of its own nor one for Git over HTTPS")

// Token is what to show, read anew: Git's bearer token or password, or a GitHub App's.
func (c *Caller) Token(ctx context.Context) (string, error) {
	credential, err := c.remote.credential(ctx)
	if err != nil {
		return "", err
	}
	switch shown := credential.(type) {
	case *githttp.TokenAuth:
		return shown.Token, nil
	case *githttp.BasicAuth:
		return shown.Password, nil
	}
	return "", errNoToken
}

// Client follows no redirects: they would take the token elsewhere.
func (c *Caller) Client() (*http.Client, error) {
	via, err := c.remote.web.connections()
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: via, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// Place is where a forge has a repository, by the URL for Git: its web address, that
// is https unless Git speaks plain HTTP to it, and the repository's path without .git.
func Place(gitURL string) (web url.URL, repository string, err error) {
	if err := CheckURL(gitURL); err != nil {
		return web, "", err
	}
	e, err := transport.NewEndpoint(gitURL)
	if err != nil || e.Host == "" {
		return web, "", errors.New("the Git URL is none of a forge's")
	}
	web = url.URL{Scheme: "https", Host: e.Host}
	if parsed, err := url.Parse(gitURL); err == nil && !isSCPLike(gitURL) && parsed.Scheme != "ssh" {
		web.Scheme, web.Host = parsed.Scheme, parsed.Host
	}
	return web, strings.TrimSuffix(strings.Trim(e.Path, "/"), ".git"), nil
}
