package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

// The existing sidecar's surface, byte for byte, with the seed's config.
func TestSurface(t *testing.T) {
	w := newWorld(t)
	good := url.QueryEscape(w.up.URL + "/v2/index.html")
	bad := url.QueryEscape(w.up.URL + "/x/bad.html")
	var multi bytes.Buffer
	parts := multipart.NewWriter(&multi)
	parts.WriteField("version", "v3")
	parts.WriteField("url", w.up.URL+"/v3/multi.html")
	parts.Close()
	const (
		noVersion = "please provide a valid version"
		noURL     = "please provide a valid URL"
		noBody    = "please provide a valid request: its body does not arrive: "
	)
	for _, c := range []struct {
		name, method, query, contentType, body string
		code                                   int
		answer                                 string
	}{
		{"form", "POST", "", form, "version=v1&url=" + good, 200, success},
		{"query", "POST", "?version=v1&url=" + good, "", "", 200, success},
		{"multipart", "POST", "", parts.FormDataContentType(), multi.String(), 200, success},
		{"form beats query", "POST", "?version=bad&url=" + bad, form, "version=v1&url=" + good, 200, success},
		{"same again", "POST", "", form, "version=v1&url=" + good, 200, success},
		{"GET", "GET", "?version=v1&url=" + good, "", "", 405, "only POST requests are allowed"},
		{"PUT", "PUT", "", form, "version=v1&url=" + good, 405, "only POST requests are allowed"},
		{"nothing", "POST", "", "", "", 400, noVersion},
		{"version before url", "POST", "", form, "version=1", 400, noVersion},
		{"no url", "POST", "", form, "version=v1", 400, noURL},
		{"empty url", "POST", "", form, "version=v1&url=", 400, noURL},
		{"a body with a slip", "POST", "?version=v1&url=" + good, form, "x=%zz", 200, success},
		{"body too large", "POST", "", form, "x=" + strings.Repeat("x", maxBody) + "&version=v1&url=" + good, 400, noBody + "http: request body too large"},
		{"and a query", "POST", "?version=v1&url=" + good, form, "x=" + strings.Repeat("x", maxBody), 400, noBody + "http: request body too large"},
	} {
		code, answer := w.send(c.method, w.url+c.query, c.contentType, c.body)
		if code != c.code || answer != c.answer {
			t.Errorf("%s: %d %q; want %d %q", c.name, code, answer, c.code, c.answer)
		}
	}
	if entries, _ := os.ReadDir(w.dir); len(entries) != 3 { // index.html, multi.html and the book
		t.Errorf("files: %v", entries)
	}
	if got := w.game.signals(); got != 6 {
		t.Errorf("%d signals; want one for each success", got)
	}
}

func TestAnswersAreText(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{"", "version=v1&url=" + url.QueryEscape(w.up.URL+"/index.html")} {
		resp, err := http.Post(w.url, form, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("%q: content type %q", body, got)
		}
	}
	if code, _ := w.send("GET", strings.TrimSuffix(w.url, "hot-update")+"healthz", "", ""); code != 200 {
		t.Errorf("healthz: %d", code)
	}
	if code, _ := w.send("POST", w.url+"/", form, ""); code != 404 {
		t.Errorf("another path: %d", code)
	}
}

func TestVersions(t *testing.T) {
	w := newWorld(t, replaced("loadPatchType: signal", "loadPatchType: none"))
	for _, v := range []string{"v0", "v01", "v1.2.3.4", "v20261123"} {
		w.mustPost(v, "/index.html")
	}
	for _, v := range []string{"1", "V1", "v", "v1.", "v1-rc1", "latest", " v1", "v1 ", "v1\n", "v" + strings.Repeat("1", 200)} {
		if code, body := w.post(v, "/index.html"); code != 400 || body != "please provide a valid version" {
			t.Errorf("version %q: %d %q", v, code, body)
		}
	}
}

// The file's name is the last element of the URL's path.
func TestNames(t *testing.T) {
	w := newWorld(t, replaced("loadPatchType: signal", "loadPatchType: none"))
	for path, name := range map[string]string{
		"/a/index.html?x=/y#z": "index.html",
		"/a/with%20space":      "with space",
		"/a/slash%2Fname":      "name",
		"/dir/":                "dir",
		"/%E6%B8%B8":           "游",
	} {
		w.mustPost("v1", path)
		if info, err := os.Stat(filepath.Join(w.dir, name)); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v %v", path, info, err)
		}
	}
	for _, path := range []string{"", "/", "/..", "/.", "/a/..", "/%00", "/a%0Ab", "/.hotpatch.json", "/" + strings.Repeat("n", 300)} {
		if code, body := w.post("v1", path); code != 500 || !strings.HasPrefix(body, "failed to download file: ") {
			t.Errorf("%q: %d %q", path, code, body)
		}
	}
}

// What the existing sidecar records, and what it does not.
func TestRecords(t *testing.T) {
	w := newWorld(t)
	eventually(t, "a new pod has its key", func() bool { return w.api.key() == "hot_update:\n    OriginVersion: OriginUrl\n" })
	for _, v := range []string{"v1", "v10", "v2", "v1"} { // the lower one after the higher is the live one
		w.mustPost(v, "/"+v+"/index.html")
	}
	if got := w.onDisk("index.html"); got != "content of /v1/index.html" {
		t.Errorf("on disk: %q", got)
	}
	if got := w.api.annotation(annotationKey); got != "v1: Update success" {
		t.Errorf("annotation %q", got)
	}
	want := "hot_update:\n    OriginVersion: OriginUrl\n"
	for _, v := range []string{"v10", "v2", "v1"} {
		want += fmt.Sprintf("    %s: %s/%s/index.html\n", v, w.up.URL, v)
	}
	if got := w.api.key(); got != want {
		t.Errorf("ConfigMap:\n%s\nwant\n%s", got, want)
	}
	f := w.files()["index.html"]
	if f.Version != "v1" || f.State != api.FileUpdated || f.SHA256 != sum("content of /v1/index.html") {
		t.Errorf("files %+v", f)
	}
}

// Our own additions to the surface.
func TestOwnFields(t *testing.T) {
	w := newWorld(t)
	digest := sum("content of /x/page.html")
	fields := []string{"sha256", digest, "path", "sub/page.html"}
	w.mustPost("v1", "/x/page.html", fields...)
	w.mustPost("v1", "/x/page.html", fields...) // by digest: nothing to do
	if got := w.game.signals(); got != 1 {
		t.Errorf("%d signals after the same call twice", got)
	}
	w.mustPost("v1", "/x/page.html", append(fields, "force", "1")...)
	if got := w.game.signals(); got != 2 {
		t.Errorf("%d signals after force", got)
	}
	os.WriteFile(filepath.Join(w.dir, "sub/page.html"), []byte("meddled with"), 0o644)
	w.mustPost("v1", "/x/page.html", fields...)
	if got := w.onDisk("sub/page.html"); got != "content of /x/page.html" {
		t.Errorf("not put back: %q", got)
	}
	for _, path := range []string{"../x", "/etc/x", "a/../../x", "a//b", ".", ".hotpatch.json", "a/.hotpatch-x.tmp"} {
		if code, body := w.post("v1", "/x", "path", path); code != 400 || !strings.HasPrefix(body, "please provide a valid path: ") {
			t.Errorf("path %q: %d %q", path, code, body)
		}
	}
	for _, digest := range []string{"abc", strings.ToUpper(digest)} {
		if code, _ := w.post("v1", "/x", "sha256", digest); code != 400 {
			t.Errorf("sha256 %q: %d", digest, code)
		}
	}
}

func TestJSONAnswer(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		body  string
		code  int
		state api.FileState
	}{
		{"version=v1&url=" + url.QueryEscape(w.up.URL+"/index.html"), 200, api.FileUpdated},
		{"version=v2&sha256=" + strings.Repeat("0", 64) + "&url=" + url.QueryEscape(w.up.URL+"/index.html"), 500, api.FileFailed},
		{"version=v3", 400, api.FileFailed},
	} {
		code, body := w.send("POST", w.url, form, c.body, "Accept", "application/json")
		var f api.ObservedFile
		if err := json.Unmarshal([]byte(body), &f); err != nil || code != c.code || f.State != c.state || f.Version == "" {
			t.Errorf("%s: %d %s, %v", c.body, code, body, err)
		}
		if (f.Message == "") != (c.code == 200) || (f.SHA256 == "") == (c.code == 200) {
			t.Errorf("%s: %+v", c.body, f)
		}
	}
}
