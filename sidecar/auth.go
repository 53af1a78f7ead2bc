package sidecar

import (
	"cmp"
	"context"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/tokens"
)

// authorizer says who a caller is, or why he may not post.
type authorizer interface {
	authorize(r *http.Request) (caller string, err error)
}

// Why a caller may not post.
var (
	errUnauthorized = errors.New("unauthorized: send a token that this sidecar takes as Authorization: Bearer …")
	errCertificate  = errors.New("unauthorized: show a certificate that this sidecar's tls.clientCAFile has signed")
	errForbidden    = errors.New("forbidden")
)

// newAuthorizer is what the config asks for.
func newAuthorizer(ctx context.Context, c Config, api tokens.Reviewer) (authorizer, error) {
	a := c.Auth
	if a == nil {
		logging.From(ctx).Warning("ANYONE who reaches this port can replace files here: the config has no auth; see docs/sidecar.md")
		return open{}, nil
	}
	ways := 0
	for _, given := range []bool{a.TokenReview != nil, a.BearerTokenFile != "", a.ClientCertificate != nil} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return nil, errors.New("auth: give one of tokenReview, bearerTokenFile and clientCertificate")
	case a.BearerTokenFile != "":
		return bearer{file: a.BearerTokenFile}, nil
	case a.ClientCertificate != nil:
		return newClientCertificate(*a.ClientCertificate, c.TLS)
	case api == nil:
		return nil, errors.New("auth.tokenReview: needs the Kubernetes API, but this is not a pod with a ServiceAccount token")
	}
	return newTokenReview(*a.TokenReview, api)
}

// open lets everyone in, as the existing sidecar does.
type open struct{}

func (open) authorize(*http.Request) (string, error) { return "anyone", nil }

// bearer knows one shared token, read each time because mounted Secrets rotate.
type bearer struct{ file string }

func (b bearer) authorize(r *http.Request) (string, error) {
	content, err := os.ReadFile(b.file)
	if err != nil {
		return "", fmt.Errorf("the token to compare with cannot be read: %w", err)
	}
	want := strings.TrimSpace(string(content))
	if want == "" || subtle.ConstantTimeCompare([]byte(bearerToken(r)), []byte(want)) != 1 {
		return "", errUnauthorized
	}
	return "the holder of the shared token", nil
}

// tokenReview lets named ServiceAccounts in.
type tokenReview struct {
	api      tokens.Reviewer
	audience string
	allowed  []string // as the API server names them
}

func newTokenReview(c TokenReview, api tokens.Reviewer) (tokenReview, error) {
	t := tokenReview{api: tokens.Remember(api), audience: cmp.Or(c.Audience, defaultAudience)}
	for _, account := range c.AllowedServiceAccounts {
		ns, name, ok := strings.Cut(account, ":")
		if !ok || ns == "" || name == "" {
			return t, fmt.Errorf("auth.tokenReview.allowedServiceAccounts: want namespace:name, got %q", account)
		}
		t.allowed = append(t.allowed, "system:serviceaccount:"+ns+":"+name)
	}
	if len(t.allowed) == 0 {
		return t, errors.New("auth.tokenReview.allowedServiceAccounts is empty: nobody could post")
	}
	return t, nil
}

func (t tokenReview) authorize(r *http.Request) (string, error) {
	token := bearerToken(r)
	if token == "" {
		return "", errUnauthorized
	}
	user, err := t.api.Review(r.Context(), token, t.audience)
	switch {
	case err != nil:
		return "", err
	case user == "":
		return "", errUnauthorized
	case !slices.Contains(t.allowed, user):
		return "", fmt.Errorf("%w: %s is not among the sidecar's auth.tokenReview.allowedServiceAccounts", errForbidden, user)
	}
	return user, nil
}

// clientCertificate lets in who shows a certificate of a known authority with
// one of the names.
type clientCertificate struct{ allowed []string }

func newClientCertificate(c ClientCertificate, t *TLS) (clientCertificate, error) {
	switch {
	case t == nil || t.ClientCAFile == "":
		return clientCertificate{}, errors.New("auth.clientCertificate: needs tls.clientCAFile, the authority of the callers' certificates")
	case len(c.AllowedNames) == 0:
		return clientCertificate{}, errors.New("auth.clientCertificate.allowedNames is empty: nobody could post")
	}
	return clientCertificate{c.AllowedNames}, nil
}

func (c clientCertificate) authorize(r *http.Request) (string, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return "", errCertificate
	}
	names := namesOf(r.TLS.PeerCertificates[0])
	for _, name := range names {
		if slices.Contains(c.allowed, name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: none of %q is among the sidecar's auth.clientCertificate.allowedNames", errForbidden, names)
}

// namesOf are the DNS names and URIs of a certificate; its common name is one
// where it has none of those.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	if len(names) == 0 {
		names = append(names, c.Subject.CommonName)
	}
	return names
}

func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
