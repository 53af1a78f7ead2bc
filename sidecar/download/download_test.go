package download

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
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
