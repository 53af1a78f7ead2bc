package sidecar

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// Whatever the upstream does, the old file stays, nobody is signalled, and the
// answer, the annotations and the disk agree.
func TestUpstreamFaults(t *testing.T) {
	w := newWorld(t, replaced("timeout: 2s", "timeout: 500ms, maxBytes: 100000"))
	w.mustPost("v1", "/index.html")
	old := w.onDisk("index.html")
	redirect := func(to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, to, http.StatusFound) }
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		says  string
	}{
		"404":  {http.NotFound, "404 Not Found"},
		"500":  {func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "oh", 500) }, "500 Internal Server Error"},
		"206":  {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(206) }, "206"},
		"hang": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "not done after 500ms"},
		"drip": {func(rw http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				fmt.Fprint(rw, ".")
				rw.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		}, "not done after 500ms"},
		"truncated": {func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "1000")
			fmt.Fprint(rw, "part")
		}, "ended early"},
		"cut off": {func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, "part")
			rw.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "ended early, after 4 bytes"},
		"too large":      {func(rw http.ResponseWriter, _ *http.Request) { rw.Write(make([]byte, 100001)) }, "larger than the limit of 100000 bytes"},
		"too large said": {func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Length", "9000000") }, "larger than"},
		"to loopback":    {redirect("http://127.0.0.2/x"), "loopback"},
		"to loopback 6":  {redirect("http://[::1]/x"), "loopback"},
		"to mapped":      {redirect("http://[::ffff:127.0.0.2]/x"), "loopback"},
		"to compatible":  {redirect("http://[::127.0.0.2]/x"), "loopback"},
		"to zero":        {redirect("http://0.0.0.0:1/x"), "no address of one server"},
		"to metadata":    {redirect("http://169.254.169.254/latest"), "link-local"},
		"to a file":      {redirect("file:///etc/passwd"), "only http and https"},
		"with password":  {redirect("http://me:secret@127.0.0.1/x"), "must not hold credentials"},
		"for ever":       {redirect("/again"), "more than 5 redirects"},
	} {
		w.serves(c.serve)
		code, body := w.post("v2", "/index.html?secret")
		if code != 500 || !strings.HasPrefix(body, "failed to download file: ") || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %q; want …%s", name, code, body, c.says)
		}
		if strings.Contains(body, "secret") {
			t.Errorf("%s: the answer tells a secret: %q", name, body)
		}
		if got := w.onDisk("index.html"); got != old {
			t.Errorf("%s: on disk %q", name, got)
		}
		if got := w.api.annotation(annotationKey); got != "v2: Update failed: "+body {
			t.Errorf("%s: annotation %q", name, got)
		}
		if f := w.files()["index.html"]; f.Version != "v1" || f.SHA256 != sum(old) || f.State != api.FileUpdated || f.Message != "v2: "+body {
			t.Errorf("%s: files %+v", name, f)
		}
	}
	if entries, _ := os.ReadDir(w.dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
	if strings.Contains(w.api.key(), "v2") {
		t.Errorf("the ConfigMap tells of failures: %s", w.api.key())
	}
	if got := w.game.signals(); got != 1 {
		t.Errorf("%d signals", got)
	}
}

func TestNothingListens(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/index.html")
	w.up.Close()
	if code, body := w.post("v2", "/index.html"); code != 500 || !strings.Contains(body, "connection refused") {
		t.Errorf("%d %q", code, body)
	}
	if got := w.onDisk("index.html"); got != "content of /index.html" {
		t.Errorf("on disk %q", got)
	}
}

func TestWrongDigest(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/index.html")
	code, body := w.post("v2", "/v2/index.html", "sha256", sum("something else"))
	if code != 500 || !strings.Contains(body, sum("something else")) || !strings.Contains(body, sum("content of /v2/index.html")) {
		t.Errorf("%d %q", code, body)
	}
	if got := w.onDisk("index.html"); got != "content of /index.html" {
		t.Errorf("on disk %q", got)
	}
}
