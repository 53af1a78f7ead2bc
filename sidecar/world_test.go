package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

const annotationKey = "sidecar.vke.volcengine.com/hot-update-result"

// world is a pod as a sidecar sees it: an API server, an upstream, a game's
// process, a directory; and the sidecar itself, on a real port.
type world struct {
	t    *testing.T
	dir  string // of the files
	conf string
	api  *apiServer
	up   *httptest.Server
	file atomic.Pointer[http.HandlerFunc] // what the upstream answers
	game *game
	url  string // of the sidecar
	stop func() // ends the sidecar and waits for it
}

// change edits a seed's config into the one under test.
type change func(config string) string

func replaced(old, new string) change {
	return func(c string) string {
		if !strings.Contains(c, old) {
			panic("the seed's config has no " + old)
		}
		return strings.Replace(c, old, new, 1)
	}
}

func added(lines string) change { return func(c string) string { return c + lines } }

// newWorld has a sidecar running with the seed's config, but with its own game
// to signal and the upstream, which is on loopback, allowed.
func newWorld(t *testing.T, changes ...change) *world {
	t.Helper()
	return newWorldWith(t, func(*world) {}, changes...)
}

// newWorldWith prepares the world before the sidecar starts.
func newWorldWith(t *testing.T, prepare func(*world), changes ...change) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "downloads"), conf: filepath.Join(t.TempDir(), "config.yaml"), api: startAPI(t), game: startGame(t)}
	w.serves(content)
	w.up = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.file.Load())(rw, r) }))
	t.Cleanup(w.up.Close)
	prepare(w)
	config := seedConfig(t)
	usual := []change{replaced("nginx: master process nginx", w.game.name), added("download: {allowAddresses: [127.0.0.1/32], timeout: 2s}\n")}
	for _, c := range append(usual, changes...) {
		config = c(config)
	}
	if err := os.WriteFile(w.conf, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	return w
}

// serves says what the upstream answers from now on.
func (w *world) serves(h http.HandlerFunc) { w.file.Store(&h) }

// content is what the upstream usually answers.
func content(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "content of "+r.URL.Path) }

func seedConfig(t *testing.T) string {
	t.Helper()
	config, err := os.ReadFile("testdata/seed-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

// start begins a life of the sidecar; end it with w.stop to begin another.
func (w *world) start() {
	w.t.Helper()
	log, err := logging.New(w.t.Output(), "text", "info")
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(logging.Into(context.Background(), log))
	config, _, err := ReadConfig("/nowhere/config.yaml", w.conf)
	if err != nil {
		w.t.Fatal(err)
	}
	o := Options{Dir: w.dir, Pod: kube.Pod{Namespace: "default", Name: "game-0", UID: "uid-0"}, ServiceAccountDir: w.api.account}
	service, err := assemble(ctx, o, config)
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String() + "/hot-update"
	done := make(chan error, 1)
	go func() { done <- service.run(ctx, listener) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the sidecar ended with %v", err)
		}
		service.updates.share.root.Close()
	})
	w.t.Cleanup(w.stop)
}

// send sends a request and returns code and body.
func (w *world) send(method, target, contentType, body string, header ...string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Error(err)
	}
	return resp.StatusCode, string(answer)
}

const form = "application/x-www-form-urlencoded"

// post is the seed's curl line: version, then path at the upstream, then
// further fields as key, value.
func (w *world) post(version, path string, fields ...string) (int, string) {
	w.t.Helper()
	v := url.Values{"version": {version}, "url": {w.up.URL + path}}
	for i := 0; i+1 < len(fields); i += 2 {
		v.Set(fields[i], fields[i+1])
	}
	return w.send("POST", w.url, form, v.Encode())
}

func (w *world) mustPost(version, path string, fields ...string) {
	w.t.Helper()
	if code, body := w.post(version, path, fields...); code != 200 || body != success {
		w.t.Fatalf("POST %s %s: %d %q", version, path, code, body)
	}
}

func (w *world) onDisk(name string) string {
	content, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		return "error: " + err.Error()
	}
	return string(content)
}

// files is the hotpatch.dev/files annotation.
func (w *world) files() map[string]api.ObservedFile {
	w.t.Helper()
	var o api.ObservedFiles
	if err := json.Unmarshal([]byte(w.api.annotation(api.FilesAnnotation)), &o); err != nil {
		w.t.Errorf("annotation: %v", err)
	}
	out := map[string]api.ObservedFile{}
	for _, f := range o.Files {
		out[f.Path] = f
	}
	return out
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}
