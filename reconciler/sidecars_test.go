package reconciler

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

var page = api.DesiredFile{Path: "site/index.html", Version: "v2", SHA256: "abc", URL: "http://10.0.0.1:8080/files/sha256/abc/index.html"}

// answering runs a server in a sidecar's place and returns its "ip:port".
func answering(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestSidecarIsAskedAsTheSeedPrintsIt(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("tok"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got string
	address := answering(t, func(w http.ResponseWriter, r *http.Request) {
		got = fmt.Sprintf("%s %s %s %s version=%s url=%s sha256=%s path=%s uid=%s", r.Method, r.URL.Path, r.Header.Get("Authorization"),
			r.Header.Get("Accept"), r.PostFormValue("version"), r.PostFormValue("url"), r.PostFormValue("sha256"), r.PostFormValue("path"), r.PostFormValue("uid"))
		fmt.Fprint(w, "File downloaded and update successfully")
	})

	if err := newSidecars(token, SidecarTLS{}).update(context.Background(), address, "pod-uid", page); err != nil {
		t.Fatal(err)
	}
	want := "POST /hot-update Bearer tok application/json version=v2 url=" + page.URL + " sha256=abc path=site/index.html uid=pod-uid"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Of a directory the sidecar is told to unpack it.
func TestSidecarIsAskedToExtract(t *testing.T) {
	var got string
	address := answering(t, func(w http.ResponseWriter, r *http.Request) { got = r.PostFormValue("extract") })
	for _, extract := range []bool{true, false} {
		file := page
		file.Extract = extract
		if err := newSidecars("", SidecarTLS{}).update(context.Background(), address, "", file); err != nil || (got == "1") != extract {
			t.Errorf("extract %v: %q, %v", extract, got, err)
		}
	}
}

func TestSidecarsFailuresAreInWords(t *testing.T) {
	json := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"failed":        {json(500, `{"state":"Failed","message":"404 from upstream"}`), "file site/index.html: the sidecar answers 500: 404 from upstream"},
		"failed, 200":   {json(200, `{"state":"Failed","message":"no such process"}`), "no such process"},
		"not JSON":      {json(200, `{`), "not readable"},
		"plain refusal": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "please provide a valid version", 400) }, "answers 400: please provide a valid version"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, "answers 307"},
	} {
		t.Run(name, func(t *testing.T) {
			err := newSidecars("", SidecarTLS{}).update(context.Background(), answering(t, c.answer), "", page)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
	err := newSidecars("", SidecarTLS{}).update(context.Background(), "127.0.0.1:1", "", page)
	if err == nil || !strings.Contains(err.Error(), "no answer from the sidecar at 127.0.0.1:1") || strings.Contains(err.Error(), "hot-update") {
		t.Errorf("nobody listens: %v", err)
	}
}
