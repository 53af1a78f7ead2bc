package download

import (
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
