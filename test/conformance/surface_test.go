package conformance

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"testing"
)

const (
	form      = "application/x-www-form-urlencoded"
	success   = "File downloaded and update successfully"
	noVersion = "please provide a valid version"
	noURL     = "please provide a valid URL"
	onlyPOST  = "only POST requests are allowed"
)

// The answers of the existing sidecar, to the byte.
func TestSurfaceAnswers(t *testing.T) {
	good := "version=v1&url=" + url.QueryEscape(files+"/surface/answers.html")
	bad := "version=bad&url=" + url.QueryEscape(files+"/surface/bad.html")
	var multi bytes.Buffer
	parts := multipart.NewWriter(&multi)
	parts.WriteField("version", "v3")
	parts.WriteField("url", files+"/surface/multi.html")
	parts.Close()
	for _, c := range []struct {
		name, method, query, kind, body string
		code                            int
		answer                          string
	}{
		{"form", "POST", "", form, good, 200, success},
		{"query", "POST", "?" + good, "", "", 200, success},
		{"multipart", "POST", "", parts.FormDataContentType(), multi.String(), 200, success},
		{"form before query", "POST", "?" + bad, form, good, 200, success},
		{"same again", "POST", "", form, good, 200, success},
		{"GET", "GET", "?" + good, "", "", 405, onlyPOST},
		{"PUT", "PUT", "", form, good, 405, onlyPOST},
		{"DELETE", "DELETE", "", "", "", 405, onlyPOST},
		{"nothing", "POST", "", "", "", 400, noVersion},
		{"version before url", "POST", "", form, "version=1", 400, noVersion},
		{"no url", "POST", "", form, "version=v1", 400, noURL},
		{"empty url", "POST", "", form, "version=v1&url=", 400, noURL},
	} {
		got := send(t, c.method, "/hot-update"+c.query, c.kind, c.body)
		if got.code != c.code || got.body != c.answer || got.kind != "text/plain; charset=utf-8" {
			t.Errorf("%s: %d %q (%s); want %d %q", c.name, got.code, got.body, got.kind, c.code, c.answer)
		}
	}
	if got := read(t, "multi.html"); got != "content of /surface/multi.html" {
		t.Errorf("multi.html is %q", got)
	}
	if got := send(t, "POST", "/hot-update/", form, good); got.code != http.StatusNotFound {
		t.Errorf("another path: %d", got.code)
	}
}

func TestSurfaceVersions(t *testing.T) {
	for _, v := range []string{"v0", "v01", "v1.2.3.4", "v20261123", "v2", "v1"} {
		if code, body := post(t, v, "/surface/"+v+"/versions.html"); code != 200 || body != success {
			t.Errorf("%q: %d %q", v, code, body)
		}
		if got := read(t, "versions.html"); got != "content of /surface/"+v+"/versions.html" {
			t.Errorf("%q: the file is %q", v, got)
		}
	}
	for _, v := range []string{"1", "V1", "v", "v1.", "v1-rc1", "latest", " v1", "v1 "} {
		if code, body := post(t, v, "/surface/versions.html"); code != 400 || body != noVersion {
			t.Errorf("%q: %d %q", v, code, body)
		}
	}
}

// The file is the last element of the URL's path.
func TestSurfaceNames(t *testing.T) {
	for path, name := range map[string]string{"/surface/named.html?x=/y#z": "named.html", "/surface/with%20space": "with%20space"} {
		if code, body := post(t, "v1", path); code != 200 || body != success {
			t.Errorf("%s: %d %q", path, code, body)
		}
		if got := read(t, name); got == "" {
			t.Errorf("%s: there is no %s", path, name)
		}
	}
}
