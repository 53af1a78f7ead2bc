package sidecar

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/internal/logging"
)

// authorizer says who a caller is, or why he may not post.
type authorizer interface {
	authorize(ctx context.Context, token string) (caller string, err error)
}

// Why a caller may not post.
var (
	errUnauthorized = errors.New("unauthorized: send a token that this sidecar takes as Authorization: Bearer …")
	errForbidden    = errors.New("forbidden")
)

// reviewer is the API server's opinion of a token.
type reviewer interface {
	Review(ctx context.Context, token, audience string) (user string, err error)
}

// newAuthorizer is what the config asks for.
func newAuthorizer(ctx context.Context, a *Auth, api reviewer) (authorizer, error) {
	switch {
	case a == nil:
		logging.From(ctx).Warning("ANYONE who reaches this port can replace files here: the config has no auth; see docs/sidecar.md")
		return open{}, nil
	case (a.TokenReview == nil) == (a.BearerTokenFile == ""):
		return nil, errors.New("auth: give either tokenReview or bearerTokenFile")
	case a.BearerTokenFile != "":
		return bearer{file: a.BearerTokenFile}, nil
	case api == nil:
		return nil, errors.New("auth.tokenReview: needs the Kubernetes API, but this is not a pod with a ServiceAccount token")
	}
	return newTokenReview(*a.TokenReview, api)
}

// open lets everyone in, as the existing sidecar does.
type open struct{}

func (open) authorize(context.Context, string) (string, error) { return "anyone", nil }

// bearer knows one shared token, read each time because mounted Secrets rotate.
type bearer struct{ file string }

func (b bearer) authorize(_ context.Context, token string) (string, error) {
	content, err := os.ReadFile(b.file)
	if err != nil {
		return "", fmt.Errorf("the token to compare with cannot be read: %w", err)
	}
	want := strings.TrimSpace(string(content))
	if want == "" || subtle.ConstantTimeCompare([]byte(token), []byte(want)) != 1 {
		return "", errUnauthorized
	}
	return "the holder of the shared token", nil
}

// tokenReview lets named ServiceAccounts in.
type tokenReview struct {
	api      reviewer
	audience string
	allowed  []string // as the API server names them
}

func newTokenReview(c TokenReview, api reviewer) (tokenReview, error) {
	t := tokenReview{api: api, audience: c.Audience}
	if t.audience == "" {
		t.audience = defaultAudience
	}
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

func (t tokenReview) authorize(ctx context.Context, token string) (string, error) {
	if token == "" {
		return "", errUnauthorized
	}
	user, err := t.api.Review(ctx, token, t.audience)
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

func bearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
