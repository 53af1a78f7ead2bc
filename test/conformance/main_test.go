// Package conformance asks a sidecar, from outside, whether it is one: first
// the surface that OpenKruiseGame's hot-update sidecar has, then what ours
// promises beyond it. It starts a sidecar of its own, or asks the one it is told
// of:
//
//	go test ./test/conformance -base http://POD:5000 -upstream MY_IP:8000 -seen http://POD:80/
//
// That one must be able to download from the upstream, which the tests serve,
// and what it writes must be seen at the last URL. -run TestSurface is what the
// existing sidecar passes as well.
package conformance

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	base     = flag.String("base", "", "base URL of the sidecar under test; one is started if there is none")
	upstream = flag.String("upstream", "127.0.0.1:0", "address to serve files on, which the sidecar reaches under the same")
	seen     = flag.String("seen", "", "URL below which the sidecar's files are seen")
	token    = flag.String("token", "", "bearer token that the sidecar takes")
)

// files is where the upstream is.
var files string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	listener, err := net.Listen("tcp", *upstream)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer listener.Close()
	go http.Serve(listener, http.HandlerFunc(serve))
	files = "http://" + listener.Addr().String()
	if *base == "" {
		dir, err := os.MkdirTemp("", "conformance-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		stop, err := start(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer stop()
	}
	return m.Run()
}

const config = `plugins:
- name: hot_update
  config: {loadPatchType: none, fileDir: %s}
download: {allowAddresses: [127.0.0.1], maxBytes: 4194304, timeout: 3s}
`

// start has a sidecar of our own on loopback: the program as it is, another process.
func start(dir string) (stop func(), err error) {
	bin := filepath.Join(dir, "hotpatch-sidecar")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/hotpatch-sidecar").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the sidecar: %w\n%s", err, out)
	}
	where := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(where, fmt.Appendf(nil, config, dir+"/files"), 0o644); err != nil {
		return nil, err
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := port.Addr().String()
	port.Close()
	life := exec.Command(bin, "--config", where, "--listen", address)
	if err := life.Start(); err != nil {
		return nil, err
	}
	*base = "http://" + address
	stop = func() { life.Process.Signal(os.Interrupt); life.Wait() }
	page, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		stop()
		return nil, err
	}
	go http.Serve(page, http.FileServer(http.Dir(dir+"/files")))
	*seen = "http://" + page.Addr().String() + "/"
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(*base + "/healthz"); err == nil {
			resp.Body.Close()
			return stop, nil
		}
	}
	stop()
	return nil, fmt.Errorf("the sidecar at %s does not answer", *base)
}

// post is the seed's curl line, with more fields as key, value.
func post(t *testing.T, version, path string, more ...string) (int, string) {
	t.Helper()
	v := url.Values{"version": {version}, "url": {files + path}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	resp := send(t, http.MethodPost, "/hot-update", "application/x-www-form-urlencoded", v.Encode())
	return resp.code, resp.body
}

type response struct {
	code       int
	body, kind string
}

func send(t *testing.T, method, target, kind, body string, header ...string) response {
	t.Helper()
	req, err := http.NewRequest(method, *base+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if *token != "" {
		req.Header.Set("Authorization", "Bearer "+*token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("no whole answer: %v", err)
	}
	return response{resp.StatusCode, string(answer), resp.Header.Get("Content-Type")}
}

// read is a file as its readers see it, "" if it is missing.
func read(t *testing.T, name string) string {
	t.Helper()
	resp, err := http.Get(*seen + name)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}
