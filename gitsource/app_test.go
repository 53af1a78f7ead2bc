package gitsource

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// forge is GitHub as an App sees it: it hands out tokens to who proves to be the App,
// and serves the repository to who has one.
type forge struct {
	repo *gittest.Repo
	api  string // path before the API's own

	mu     sync.Mutex
	key    *rsa.PublicKey // of the App
	lasts  time.Duration
	tokens map[string]time.Time
	asked  int
}

func newForge(t *testing.T, key *rsa.PrivateKey) (*forge, string) {
	t.Helper()
	f := &forge{repo: gittest.NewRepo(t), api: "/api/v3", key: &key.PublicKey, lasts: time.Hour, tokens: map[string]time.Time{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server.URL
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path, isAPI := strings.CutPrefix(r.URL.Path, f.api); isAPI {
		f.hand(w, r, path)
		return
	}
	user, token, _ := r.BasicAuth()
	if until, known := f.tokens[token]; !known || user != "x-access-token" || time.Now().After(until) {
		http.Error(w, "bad credentials", http.StatusUnauthorized)
		return
	}
	f.repo.ServeHTTP(w, r)
}

// hand hands out a token, as the API's reference says.
func (f *forge) hand(w http.ResponseWriter, r *http.Request, path string) {
	f.asked++
	proof, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims := &jwt.RegisteredClaims{}
	_, err := jwt.ParseWithClaims(proof, claims, func(*jwt.Token) (any, error) { return f.key, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer("4711"), jwt.WithIssuedAt(), jwt.WithExpirationRequired())
	answer := func(code int, what any) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(what)
	}
	switch {
	case err != nil || time.Until(claims.ExpiresAt.Time) > 10*time.Minute:
		answer(http.StatusUnauthorized, map[string]string{"message": "A JSON web token could not be decoded"})
	case r.Method != http.MethodPost || path != "/app/installations/42/access_tokens":
		answer(http.StatusNotFound, map[string]string{"message": "Not Found"})
	default:
		token := fmt.Sprintf("ghs_hunter2_%d", f.asked)
		until := time.Now().Add(f.lasts).UTC().Truncate(time.Second)
		f.tokens[token] = until
		answer(http.StatusCreated, map[string]any{"token": token, "expires_at": until})
	}
}

// set changes the forge between two calls.
func (f *forge) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ofRSA(key *rsa.PrivateKey) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func TestAGitHubApp(t *testing.T) {
	first, second := newRSA(t), newRSA(t)
	f, url := newForge(t, first)
	auth := Auth{AppID: "4711", AppInstallationID: "42", AppKeyFile: private(t, ofRSA(first)), AppAPI: url + "/api/v3/"}
	o := Options{URL: url + "/repo.git", Branch: "main", Auth: auth}
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	known := snapshot(t, s).Commit
	poll := func(tokens int, what string) {
		t.Helper()
		f.set(func() { f.asked = 0 })
		if next, err := s.Newer(t.Context(), known); next != nil || err != nil {
			t.Errorf("%s: %v, %v", what, next, err)
		}
		if f.asked != tokens {
			t.Errorf("%s: %d tokens were asked for", what, f.asked)
		}
	}
	poll(0, "with a token at hand")
	f.set(func() { f.lasts = 2 * time.Minute })
	s.app.until = time.Now().Add(renewAhead - time.Second)
	poll(1, "shortly before it expires")
	poll(1, "with one that lasts too short to be kept")
	f.set(func() { f.lasts = time.Hour })
	poll(1, "with one that lasts")
	f.set(func() { f.key = &second.PublicKey })
	if err := os.WriteFile(auth.AppKeyFile, []byte(ofRSA(second)), 0o600); err != nil {
		t.Fatal(err)
	}
	poll(1, "after the key rotated")

	f.set(func() { clear(f.tokens) })
	if _, err := s.Newer(t.Context(), known); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("with a token that was taken back: %v", err)
	}
	poll(1, "the time after")

	o.Branch = "hotpatch-status"
	w := writing(t, o)
	if _, err := w.Commit(t.Context(), put("a", "1")); err != nil || f.repo.Show("hotpatch-status", "a") != "1" {
		t.Errorf("write: %v", err)
	}
}

func TestAppsThatAreNotLetIn(t *testing.T) {
	key := newRSA(t)
	f, url := newForge(t, key)
	good := Auth{AppID: "4711", AppInstallationID: "42", AppKeyFile: private(t, ofRSA(key)), AppAPI: url + "/api/v3"}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"message": "hello"}`) }))
	defer elsewhere.Close()
	for want, change := range map[string]func(*Auth){
		"could not be decoded":    func(a *Auth) { a.AppKeyFile = private(t, ofRSA(newRSA(t))) },
		"of the GitHub App 4712":  func(a *Auth) { a.AppID = "4712" },
		"404 Not Found":           func(a *Auth) { a.AppInstallationID = "43" },
		"holds no token":          func(a *Auth) { a.AppAPI = elsewhere.URL },
		"want its number":         func(a *Auth) { a.AppInstallationID = "42/../43" },
		"needs all of":            func(a *Auth) { a.AppID = "" },
		"it is no RSA key":        func(a *Auth) { a.AppKeyFile = private(t, "hunter2") },
		"no such file":            func(a *Auth) { a.AppKeyFile = "/nowhere" },
		"want https://api.github": func(a *Auth) { a.AppAPI = "https://ann:hunter2@git.example" },
		"not several":             func(a *Auth) { a.PasswordFile = private(t, "hunter2") },
	} {
		auth := good
		change(&auth)
		s, err := NewSource(Options{URL: url + "/repo.git", Branch: "main", Auth: auth})
		if err == nil {
			_, err = s.Newer(t.Context(), "")
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if f.asked == 0 {
		t.Error("nobody asked")
	}
}
