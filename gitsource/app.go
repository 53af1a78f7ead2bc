package gitsource

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// githubAPI is where tokens are asked for, unless told otherwise.
const githubAPI = "https://api.github.com"

// Times of a GitHub App's tokens. GitHub takes a proof for ten minutes at the most,
// by its own clock; a token is good for an hour.
const (
	proofFor   = 8 * time.Minute
	clockSkew  = time.Minute
	renewAhead = 5 * time.Minute
)

// checkApp refuses what can never become a token.
func (a Auth) checkApp() error {
	if a.AppID == "" && a.AppInstallationID == "" && a.AppKeyFile == "" {
		return nil
	}
	if a.AppID == "" || a.AppInstallationID == "" || a.AppKeyFile == "" {
		return errors.New("a GitHub App needs all of --git-app-id, --git-app-installation-id and --git-app-key-file")
	}
	if strings.Trim(a.AppInstallationID, "0123456789") != "" {
		return fmt.Errorf("the GitHub App's installation %q: want its number, which stands at the end of its page's address", a.AppInstallationID)
	}
	api, err := url.Parse(cmp.Or(a.AppAPI, githubAPI))
	if err != nil || api.Host == "" || api.User != nil || api.RawQuery != "" || api.Scheme != "https" && api.Scheme != "http" {
		return errors.New("--git-app-api: want https://api.github.com, or https://HOST/api/v3 of a GitHub Enterprise Server")
	}
	return nil
}

// appTokens are those of a GitHub App's installation, the last one kept until
// shortly before it expires.
type appTokens struct {
	auth Auth
	web  *web
	key  opened[*rsa.PrivateKey]

	mu    sync.Mutex
	token string
	by    *rsa.PrivateKey // that asked for it
	until time.Time
}

// get is a token that is good for a while.
func (t *appTokens) get(ctx context.Context) (string, error) {
	key, err := t.open()
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && t.by == key && time.Until(t.until) > renewAhead {
		return t.token, nil
	}
	answer, err := t.ask(ctx, key)
	if err != nil {
		return "", fmt.Errorf("ask %s for a token of installation %s of the GitHub App %s: %w", t.api(), t.auth.AppInstallationID, t.auth.AppID, err)
	}
	t.token, t.by, t.until = answer.Token, key, answer.ExpiresAt
	return t.token, nil
}

func (t *appTokens) open() (*rsa.PrivateKey, error) {
	return t.key.get(t.auth.AppKeyFile, "", func(text, _ string) (*rsa.PrivateKey, error) {
		key, err := jwt.ParseRSAPrivateKeyFromPEM([]byte(text))
		if err != nil {
			return nil, errors.New("it is no RSA key in PEM form, as GitHub hands out for Apps")
		}
		return key, nil
	})
}

// forget has the next use ask for a new token: the server does not take this one.
func (t *appTokens) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = ""
}

func (t *appTokens) api() string {
	return strings.TrimSuffix(cmp.Or(t.auth.AppAPI, githubAPI), "/")
}

// proof says that we are the App, for some minutes. It is dated back: of two clocks
// one is always behind.
func (t *appTokens) proof(key *rsa.PrivateKey, now time.Time) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.RegisteredClaims{
		Issuer:    t.auth.AppID,
		IssuedAt:  jwt.NewNumericDate(now.Add(-clockSkew)),
		ExpiresAt: jwt.NewNumericDate(now.Add(proofFor)),
	}).SignedString(key)
}

// appToken is GitHub's answer.
type appToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (t *appTokens) ask(ctx context.Context, key *rsa.PrivateKey) (answer appToken, err error) {
	proof, err := t.proof(key, time.Now())
	if err != nil {
		return answer, err
	}
	via, err := t.web.transport()
	if err != nil {
		return answer, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.api()+"/app/installations/"+t.auth.AppInstallationID+"/access_tokens", nil)
	if err != nil {
		return answer, err
	}
	r.Header.Set("Authorization", "Bearer "+proof)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	client := &http.Client{Transport: via, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		return answer, bare(err)
	}
	defer response.Body.Close()
	err = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer)
	if err != nil || answer.Token == "" || answer.ExpiresAt.IsZero() {
		return appToken{}, fmt.Errorf("the answer (%s) holds no token", response.Status)
	}
	return answer, nil
}
