package sidecar

import (
	"net/http/httptest"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"
)

// Whatever a caller sends: what is let through names one file below the
// directory, by an http or https URL, and a refusal is in the surface's words.
func FuzzAsk(f *testing.F) {
	for _, seed := range [][3]string{{"v1", "https://files.example/v2/index.html", ""}, {"v1.2", "http://a/..", "a/b"}, {" v1", "file:///etc/passwd", "../x"},
		{"v1", "http://a/%2e%2e%2fx", ""}, {"v1", "http://me:pw@a/x", "\x00"}, {"v9", "http://[::ffff:127.0.0.1]/x?y#z", ".hotpatch.json"}, {"v1", "http://a/%00", "a//b"}} {
		f.Add(seed[0], seed[1], seed[2], false)
	}
	f.Fuzz(func(t *testing.T, version, from, where string, extract bool) {
		form := url.Values{"version": {version}, "url": {from}, "path": {where}}
		if extract {
			form.Set("extract", "1")
		}
		r := httptest.NewRequest("POST", "/hot-update", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a, err := parseAsk(r)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "please provide a valid ") && !strings.HasPrefix(err.Error(), "failed to download file: ") {
				t.Errorf("refused in other words: %v", err)
			}
			return
		}
		u, err := url.Parse(a.url)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			t.Errorf("let through: URL %q", a.url)
		}
		p := a.path
		if p == "" || path.IsAbs(p) || path.Clean(p) != p || p == "." || strings.HasPrefix(p, "..") && (p == ".." || p[2] == '/') || strings.ContainsFunc(p, unicode.IsControl) || strings.HasPrefix(path.Base(p), reserved) {
			t.Errorf("let through: path %q", p)
		}
		if len(a.version) < 2 || a.version[0] != 'v' || strings.Trim(a.version[1:], "0123456789.") != "" {
			t.Errorf("let through: version %q", a.version)
		}
	})
}
