package reconciler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// users are whose tokens are, by token; none has "down" reviewed.
type users map[string]string

func (u users) Review(_ context.Context, token, audience string) (string, error) {
	if token == "down" || audience != filesAudience {
		return "", errors.New("no API server")
	}
	return u[token], nil
}

var accounts = users{
	"sidecar": "system:serviceaccount:games:hotpatch-sidecar",
	"arena":   "system:serviceaccount:arena:game",
	"other":   "system:serviceaccount:other:game",
	"person":  "hotpatch-sidecar",
}

// serveFiles serves one file of the repository and returns how a HotPatch asks for
// it.
func serveFiles(t *testing.T, content string) (*files, api.DesiredFile) {
	t.Helper()
	sum := sha256.Sum256([]byte(content))
	digest := hex.EncodeToString(sum[:])
	f := &files{callers: newCallers([]string{"hotpatch-sidecar", "arena:game"}, accounts)}
	f.base = serveEndpoints(t, &endpoints{metrics: newMetrics(), files: f})
	f.publish(map[string][]byte{digest: []byte(content)})
	return f, api.DesiredFile{Path: "site/index page.html", Version: "v2", SHA256: digest, URL: f.url(digest, "site/index page.html")}
}

func TestOnlyFilesReferredToAreServed(t *testing.T) {
	f, file := serveFiles(t, "<h1>2048</h1>")
	url := f.forCall(file).URL
	if code, body := call(t, "GET", url, nil); code != 200 || body != "<h1>2048</h1>" {
		t.Errorf("published: %d %q", code, body)
	}
	if code, _ := call(t, "GET", url, http.Header{"If-None-Match": {`"` + file.SHA256 + `"`}}); code != 304 {
		t.Errorf("with its ETag: %d, want 304", code)
	}
	f.publish(nil)
	if code, _ := call(t, "GET", url, nil); code != 404 {
		t.Errorf("after: %d, want 404", code)
	}
}

func TestFilesAreForSidecars(t *testing.T) {
	_, file := serveFiles(t, "secret")
	for token, want := range map[string]int{"sidecar": 200, "arena": 200, "other": 403, "person": 403, "unknown": 401, "down": 503} {
		if code, body := call(t, "GET", file.URL, http.Header{"Authorization": {"Bearer " + token}}); code != want || (body == "secret") != (want == 200) {
			t.Errorf("with the token of %s: %d %q, want %d", token, code, body, want)
		}
	}
	if code, body := call(t, "GET", file.URL, nil); code != 401 || strings.Contains(body, "secret") {
		t.Errorf("with the digest alone: %d %q", code, body)
	}
	nothing := strings.Replace(file.URL, file.SHA256, strings.Repeat("0", 64), 1)
	if code, _ := call(t, "GET", nothing, nil); code != 401 {
		t.Errorf("whether there is such a file is nobody's business: %d", code)
	}
	if code, _ := call(t, "GET", nothing, http.Header{"Authorization": {"Bearer down"}}); code != 404 {
		t.Errorf("a token is reviewed for nothing: %d", code)
	}
}

func TestTicketsAreForOneFileAndPass(t *testing.T) {
	f, file := serveFiles(t, "secret")
	ticket := func(digest string, age time.Duration) string {
		return file.URL + "?" + f.callers.ticket(digest, time.Now().Add(-age))
	}
	for what, url := range map[string]string{
		"for another file": ticket(strings.Repeat("0", 64), 0),
		"old":              ticket(file.SHA256, ticketLife+2*time.Second),
		"made to last":     strings.Replace(ticket(file.SHA256, 0), "until=", "until=9", 1),
		"of another life":  file.URL + "?" + newCallers(nil, nil).ticket(file.SHA256, time.Now()),
	} {
		if code, body := call(t, "GET", url, nil); code != 401 {
			t.Errorf("a ticket %s: %d %q", what, code, body)
		}
	}
	if elsewhere := (api.DesiredFile{URL: "https://files.example/files/x"}); f.forCall(elsewhere) != elsewhere {
		t.Error("a ticket goes to a stranger")
	}
}

// A sidecar that is called has a ticket; one that finds its URL dead has its
// token.
func TestRealSidecarFetchesFiles(t *testing.T) {
	f, file := serveFiles(t, "level one")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("sidecar\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, dir := runSidecar(t, "")
	update := func(address string, file api.DesiredFile) error {
		return newSidecars("", SidecarTLS{}).update(context.Background(), address, "", file)
	}
	if err := update(plain, file); err == nil || !strings.Contains(err.Error(), "the server answered 401") {
		t.Errorf("without a ticket: %v", err)
	}
	if err := update(plain, f.forCall(file)); err != nil {
		t.Error(err)
	}
	shown(t, dir, file.Path, "level one")

	restoring, dir := runSidecar(t, fmt.Sprintf("  byDigest: %s/files/sha256/\n  byDigestTokenFile: %s\n", f.base, token))
	file.URL = "http://127.0.0.1:1/files/" + file.SHA256 // as of a record, from an earlier reconciler
	if err := update(restoring, file); err != nil {
		t.Error(err)
	}
	shown(t, dir, file.Path, "level one")
}

func shown(t *testing.T, dir, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
		t.Errorf("on disk: %q, %v", got, err)
	}
}
