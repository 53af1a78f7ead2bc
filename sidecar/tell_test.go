package sidecar

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// instead puts another way of telling the process in the place of the seed's.
func instead(lines string) change {
	return func(c string) string {
		before, rest, _ := strings.Cut(c, "loadPatchType: signal")
		_, after, _ := strings.Cut(rest, "storageConfig:")
		return before + lines + "\n        storageConfig:" + after
	}
}

// The process learns by HTTP of which file there is a new version, and its
// refusal is the caller's answer.
func TestRequest(t *testing.T) {
	var heard atomic.Value
	answer := atomic.Int64{}
	answer.Store(204)
	process := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		heard.Store(r.Method + " " + r.URL.Path + " " + r.FormValue("version") + " " + r.FormValue("path") + " " + r.FormValue("sha256"))
		rw.WriteHeader(int(answer.Load()))
		fmt.Fprint(rw, "no such level")
	}))
	defer process.Close()
	_, port, _ := net.SplitHostPort(process.Listener.Addr().String())
	w := newWorld(t, instead("loadPatchType: request\n        request: {port: '"+port+"', path: /reload}"))
	w.mustPost("v1", "/index.html")
	if want := "POST /reload v1 index.html " + sum("content of /index.html"); heard.Load() != want {
		t.Errorf("the process heard %q, want %q", heard.Load(), want)
	}
	answer.Store(500)
	code, body := w.post("v2", "/index.html")
	if code != 500 || !strings.HasPrefix(body, "failed to ask the process at 127.0.0.1:"+port+" to reload: ") || !strings.Contains(body, "no such level") {
		t.Errorf("%d %q", code, body)
	}
	if got := w.api.annotation(annotationKey); got != "v2: Update failed: "+body {
		t.Errorf("annotation %q", got)
	}
}

// A process that is not up yet is waited for, and not for ever.
func TestRequestWaits(t *testing.T) {
	port := freePort(t)
	w := newWorld(t, instead(fmt.Sprintf("loadPatchType: request\n        request: {port: %d, wait: 1s}", port)))
	if code, body := w.post("v1", "/index.html"); code != 500 || !strings.Contains(body, "connection refused after 1s") {
		t.Errorf("%d %q", code, body)
	}
	process := http.Server{Addr: fmt.Sprintf("127.0.0.1:%d", port), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	time.AfterFunc(300*time.Millisecond, func() { process.ListenAndServe() })
	defer process.Close()
	w.mustPost("v2", "/index.html")
}

// nginx that is sent a broken configuration goes on with the old one and tells
// nobody: a check finds out.
func TestCheckFindsOut(t *testing.T) {
	dir := t.TempDir()
	title, url := startNginx(t, dir)
	eventually(t, "nginx serves", func() bool { return fetched(url) == "before" })
	w := newWorld(t, instead("fileDir: "+dir+"\n        loadPatchType: signal\n        signal: {processName: '"+title+
		"', signalName: SIGHUP}\n        check: {url: '"+url+"', matches: '^page {version}$', wait: 1500ms}"))
	w.serves(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.URL.Query().Get("conf")) })
	w.mustPost("v1", "/site.conf?conf=return+200+'page+v1'%3B")
	code, body := w.post("v2", "/site.conf?conf=retrun+200+'page+v2'%3B")
	if code != 500 || !strings.HasPrefix(body, "the process was told but does not show v2: ") || !strings.Contains(body, "does not match ^page v2$ after 1.5s") {
		t.Errorf("%d %q", code, body)
	}
	if f := w.files()["site.conf"]; f.Version != "v2" || f.State != "Failed" {
		t.Errorf("files %+v", f)
	}
}

// What a check may also look at: a file of the process in /proc.
func TestCheckOfAFile(t *testing.T) {
	w := newWorld(t, func(c string) string {
		return strings.Replace(c, "loadPatchType: signal", "check: {file: '/proc/{pid}/cmdline', matches: 'daemon off', wait: 300ms}\n        loadPatchType: signal", 1)
	})
	w.mustPost("v1", "/index.html")
	w.stop()
	content, _ := os.ReadFile(w.conf)
	os.WriteFile(w.conf, []byte(strings.Replace(string(content), "daemon off", "{sha256}", 1)), 0o644)
	w.start()
	if code, body := w.post("v2", "/index.html"); code != 500 || !strings.Contains(body, sum("content of /index.html")) {
		t.Errorf("%d %q", code, body)
	}
}
