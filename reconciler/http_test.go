package reconciler

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call sends a request and returns the answer's code and body.
func call(t *testing.T, method, url string, header http.Header) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func serveEndpoints(t *testing.T, e *endpoints) string {
	t.Helper()
	server := httptest.NewServer(e.handler())
	t.Cleanup(server.Close)
	return server.URL
}

func TestTriggerWantsItsToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	polls := 0
	url := serveEndpoints(t, &endpoints{metrics: newMetrics(), files: &files{}, poll: func(context.Context, bool) error { polls++; return nil }, tokenFile: file}) + "/trigger"

	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Bearer ": 401, "Bearer s3cret": 202} {
		if code, _ := call(t, "POST", url, http.Header{"Authorization": {header}}); code != want {
			t.Errorf("%q: %d, want %d", header, code, want)
		}
	}
	if code, _ := call(t, "GET", url, http.Header{"Authorization": {"Bearer s3cret"}}); code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", code)
	}
	if polls != 1 {
		t.Errorf("%d polls, want 1", polls)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if code, body := call(t, "POST", url, nil); code != 500 || strings.Contains(body, file) {
		t.Errorf("a missing token file opens the trigger, or is named to strangers: %d %s", code, body)
	}
}

func TestReadyzSaysWhyNot(t *testing.T) {
	url := serveEndpoints(t, &endpoints{metrics: newMetrics(), files: &files{},
		ready: func() error { return errors.New("no pass has ended yet") }, followed: func() error { return errors.New("no such host") }})
	if code, body := call(t, "GET", url+"/readyz", nil); code != 503 || !strings.Contains(body, "no pass") || !strings.Contains(body, "no such host") {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := call(t, "GET", url+"/healthz", nil); code != 200 {
		t.Errorf("healthz: %d", code)
	}
}
