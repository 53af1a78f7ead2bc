package sidecar

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tokenReviewConfig = `auth: {tokenReview: {allowedServiceAccounts: ["hotpatch-system:hotpatch-reconciler"]}}
`

func (w *world) postAs(authorization string) (int, string) {
	w.t.Helper()
	body := "version=v1&url=" + url.QueryEscape(w.up.URL+"/index.html")
	return w.send("POST", w.url, form, body, "Authorization", authorization)
}

func TestTokenReview(t *testing.T) {
	w := newWorld(t, added(tokenReviewConfig))
	for token, want := range map[string]int{
		"":             401,
		"Bearer":       401,
		"Bearer bad x": 401,
		"Bearer good system:serviceaccount:default:other":                            403,
		"Bearer elsewhere system:serviceaccount:hotpatch-system:hotpatch-reconciler": 401,
		"Basic good system:serviceaccount:hotpatch-system:hotpatch-reconciler":       401,
	} {
		code, body := w.postAs(token)
		if code != want || strings.Contains(body, "good ") {
			t.Errorf("%q: %d %q; want %d", token, code, body, want)
		}
	}
	if _, err := os.Stat(filepath.Join(w.dir, "index.html")); err == nil {
		t.Error("somebody got in")
	}
	const good = "Bearer good system:serviceaccount:hotpatch-system:hotpatch-reconciler"
	w.api.failing("POST tokenreviews", 500)
	if code, body := w.postAs(good); code != 503 {
		t.Errorf("without the API server: %d %q", code, body)
	}
	w.api.failing("POST tokenreviews", 0)
	if code, body := w.postAs(good); code != 200 {
		t.Errorf("the reconciler: %d %q", code, body)
	}
}

func TestBearerTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	w := newWorld(t, added("auth: {bearerTokenFile: "+file+"}\n"))
	if code, _ := w.postAs("Bearer first"); code != 503 {
		t.Errorf("without the file: %d", code)
	}
	for _, token := range []string{"first", "rotated"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, body := w.postAs("Bearer " + token); code != 200 {
			t.Errorf("%s: %d %q", token, code, body)
		}
		if code, body := w.postAs("Bearer other"); code != 401 {
			t.Errorf("another: %d %q", code, body)
		}
	}
	os.WriteFile(file, nil, 0o600)
	if code, _ := w.postAs("Bearer "); code != 401 {
		t.Errorf("an empty file lets in an empty token: %d", code)
	}
}
