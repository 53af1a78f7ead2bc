package download

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// However loopback is spelled in the URL, it is not connected to.
func TestRefusedSpellings(t *testing.T) {
	c := New(Limits{Bytes: 1, Timeout: 5 * time.Second})
	for _, text := range []string{"http://127.0.0.1:1/", "http://localhost:1/", "http://2130706433:1/", "http://0x7f000001:1/", "http://127.1:1/", "http://[::1]:1/", "http://[::ffff:127.0.0.1]:1/", "http://0/", "http://[fe80::1%25lo]:1/"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Get(t.Context(), u, "", nil)
		if err == nil || strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: was connected to: %v", text, err)
		}
	}
}

// With a list nothing else is fetched: not by its URL, however that is spelled,
// and not by a redirect.
func TestAllowedURLs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			w.Header().Set("Location", to)
			w.WriteHeader(302)
		}
	}))
	defer server.Close()
	base, _ := url.Parse(server.URL + "/games/")
	c := New(Limits{Bytes: 10, Timeout: 5 * time.Second, URLs: []*url.URL{base}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	for text, ok := range map[string]bool{
		"/games": true, "/games/": true, "/games/a/b?x": true, "/games/a/../b": true, "/games/x?to=/games/y": true, "/other/../games/x": true,
		"/": false, "/gamesX": false, "/other/x": false, "/games/../x": false, "/games/%2e%2e/x": false, "/games/..%2fx": false, "/games/x?to=/other": false, "/games/x?to=//localhost/games/x": false,
	} {
		u, err := url.Parse(server.URL + text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Get(t.Context(), u, "", io.Discard); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "is not among download.allowURLs") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The token is for one place. Nobody else sees it: not another URL, and not where
// that place redirects to.
func TestTokenIsForOnePlace(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(token, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization"))
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}))
	defer server.Close()
	base, _ := url.Parse(server.URL + "/files/")
	c := New(Limits{Bytes: 100, Timeout: 5 * time.Second, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, TokenFile: token, TokenFor: base})
	for _, one := range []struct{ path, want string }{
		{"/files/a", "/files/a Bearer one"},
		{"/other", "/other "},
		{"/filesX", "/filesX "},
		{"/files/../other", "/files/../other "},
		{"/files/a?to=/files/b", "/files/a Bearer one, /files/b Bearer one"},
		{"/files/a?to=/other", "/files/a Bearer one, /other "},
		{"/other?to=/files/a", "/other , /files/a "},
	} {
		seen = nil
		write("one")
		u, err := url.Parse(server.URL + one.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), u, "", io.Discard); err != nil || strings.Join(seen, ", ") != one.want {
			t.Errorf("%s: %v %q, want %q", one.path, err, seen, one.want)
		}
	}
	write("two")
	seen = nil
	if _, err := c.Get(t.Context(), base, "", io.Discard); err != nil || seen[0] != "/files/ Bearer two" {
		t.Errorf("after a rotation: %v %q", err, seen)
	}
	os.Remove(token)
	if _, err := c.Get(t.Context(), base, "", io.Discard); err == nil || !strings.Contains(err.Error(), "read the token to show") {
		t.Errorf("without its file: %v", err)
	}
}
