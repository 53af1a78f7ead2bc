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

// One token is reviewed once, for a while; a bad one is never remembered.
func TestTokensAreRemembered(t *testing.T) {
	w := newWorld(t, added(tokenReviewConfig))
	const good = "Bearer good system:serviceaccount:hotpatch-system:hotpatch-reconciler"
	for range 3 {
		if code, body := w.postAs(good); code != 200 {
			t.Errorf("%d %q", code, body)
		}
		w.postAs("Bearer bad x")
	}
	w.api.mu.Lock()
	defer w.api.mu.Unlock()
	if got := w.api.calls["POST tokenreviews"]; got != 4 {
		t.Errorf("%d reviews; want one of the good token and three of the bad one", got)
	}
}

// Anyone can look whether anyone may post.
func TestMetrics(t *testing.T) {
	for config, want := range map[string]string{"": "hotpatch_sidecar_open 1\n", tokenReviewConfig: "hotpatch_sidecar_open 0\n"} {
		w := newWorld(t, added(config))
		w.post("v1", "/index.html")
		w.post("latest", "/index.html")
		code, page := w.send("GET", strings.TrimSuffix(w.url, "hot-update")+"metrics", "", "")
		answers := `hotpatch_sidecar_answers_total{code="200"} 1
hotpatch_sidecar_answers_total{code="400"} 1`
		if config != "" {
			answers = `hotpatch_sidecar_answers_total{code="401"} 2`
		}
		if code != 200 || !strings.Contains(page, want) || !strings.Contains(page, answers) {
			t.Errorf("%d\n%s", code, page)
		}
	}
}

// An address may be another pod's by the time a call arrives.
func TestCallsOfOtherPods(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/index.html", "uid", "uid-0")
	if code, body := w.post("v2", "/v2/index.html", "uid", "uid-1"); code != 409 || w.onDisk("index.html") != "content of /index.html" {
		t.Errorf("%d %q, on disk %q", code, body, w.onDisk("index.html"))
	}
}
