package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	file http.HandlerFunc // what the upstream answers
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
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "downloads"), conf: filepath.Join(t.TempDir(), "config.yaml"), api: startAPI(t), game: startGame(t)}
	w.file = func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "content of "+r.URL.Path) }
	w.up = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.file(rw, r) }))
	t.Cleanup(w.up.Close)
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
	o := Options{Dir: w.dir, Pod: kube.Pod{Namespace: "default", Name: "game-0"}, ServiceAccountDir: w.api.account}
	updates, auth, err := assemble(ctx, o, config)
	if err != nil {
		w.t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = "http://" + listener.Addr().String() + "/hot-update"
	done := make(chan error, 1)
	go func() { done <- run(ctx, updates, auth, listener) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("the sidecar ended with %v", err)
		}
		updates.share.root.Close()
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

// game is a real process that counts the SIGHUPs it gets.
type game struct {
	name  string
	count string // file
	cmd   *exec.Cmd
}

var games int

func startGame(t *testing.T) *game {
	t.Helper()
	games++
	g := &game{name: fmt.Sprintf("game: master process %d-%d", os.Getpid(), games), count: filepath.Join(t.TempDir(), "count")}
	g.start(t)
	return g
}

func (g *game) start(t *testing.T) {
	t.Helper()
	os.Remove(g.count)
	g.cmd = exec.Command("perl", "-e", `$0 = shift . " -g daemon off;"; my $f = shift; $SIG{HUP} = sub { open F, ">>", $f; print F "."; close F };
		open F, ">", $f; close F; while (1) { select undef, undef, undef, 60 }`, g.name, g.count)
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.kill() })
	eventually(t, "the game starts", func() bool { _, err := os.Stat(g.count); return err == nil })
}

func (g *game) kill() {
	g.cmd.Process.Kill()
	g.cmd.Wait()
}

// signals is how many came, after a moment for the last one.
func (g *game) signals() int {
	time.Sleep(50 * time.Millisecond)
	content, _ := os.ReadFile(g.count)
	return len(content)
}

// apiServer answers as the real one does to the sidecar's few calls, and fails
// on demand; the real one is used in the tests on the cluster.
type apiServer struct {
	account string // ServiceAccount directory

	mu          sync.Mutex
	annotations map[string]string
	configMap   map[string]string // nil: there is none
	fail        map[string]int    // by "METHOD resource": the code to answer
	calls       map[string]int
}

func startAPI(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{account: t.TempDir(), annotations: map[string]string{}, fail: map[string]int{}, calls: map[string]int{}}
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string][]byte{"/ca.crt": ca, "/token": []byte("pod-token\n"), "/namespace": []byte("default")} {
		if err := os.WriteFile(s.account+name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	return s
}

func (s *apiServer) annotation(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.annotations[key]
}

func (s *apiServer) key() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configMap["default-game-0"]
}

// failing makes a call fail; code 0 lets it work again.
func (s *apiServer) failing(call string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[call] = code
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resource := "tokenreviews"
	for _, name := range []string{"pods", "configmaps"} {
		if strings.Contains(r.URL.Path, "/"+name) {
			resource = name
		}
	}
	s.calls[r.Method+" "+resource]++
	if code := s.fail[r.Method+" "+resource]; code != 0 {
		status(w, code, "failing as told")
		return
	}
	if r.Header.Get("Authorization") != "Bearer pod-token" {
		status(w, 401, "Unauthorized")
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.act(w, r.Method+" "+r.URL.Path, body)
}

func (s *apiServer) act(w http.ResponseWriter, call string, body []byte) {
	var in struct {
		Metadata struct{ Annotations map[string]string }
		Data     map[string]string
		Spec     struct{ Token string }
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&in); err != nil && len(body) > 0 {
		status(w, 400, err.Error())
		return
	}
	const cm = "/api/v1/namespaces/kube-system/configmaps"
	switch {
	case call == "PATCH /api/v1/namespaces/default/pods/game-0":
		for k, v := range in.Metadata.Annotations {
			s.annotations[k] = v
		}
	case strings.HasSuffix(call, cm+"/sidecar-result") && s.configMap == nil:
		status(w, 404, `configmaps "sidecar-result" not found`)
		return
	case call == "POST "+cm:
		s.configMap = in.Data
	case call == "PATCH "+cm+"/sidecar-result":
		for k, v := range in.Data {
			s.configMap[k] = v
		}
	case call == "GET "+cm+"/sidecar-result":
		json.NewEncoder(w).Encode(map[string]any{"data": s.configMap})
		return
	case call == "POST /apis/authentication.k8s.io/v1/tokenreviews":
		review(w, in.Spec.Token)
		return
	default:
		status(w, 403, call+" is forbidden")
		return
	}
	fmt.Fprint(w, "{}")
}

// review knows tokens of the form "good USER" and "elsewhere USER".
func review(w http.ResponseWriter, token string) {
	kind, user, _ := strings.Cut(token, " ")
	answer := map[string]any{"authenticated": kind == "good" || kind == "elsewhere", "user": map[string]string{"username": user}}
	if kind == "good" {
		answer["audiences"] = []string{"hotpatch-sidecar"}
	}
	json.NewEncoder(w).Encode(map[string]any{"status": answer})
}

func status(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": message, "code": code})
}
