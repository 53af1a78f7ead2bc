package sidecar

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

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
		w.file = c.serve
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

// A link in the directory is no way out of it, and a directory is never removed.
func TestDirectoryAndLinks(t *testing.T) {
	w := newWorld(t, replaced("loadPatchType: signal", "loadPatchType: none"))
	outside := t.TempDir()
	for _, err := range []error{os.Symlink(outside+"/new", w.dir+"/dangling"), os.Symlink(outside, w.dir+"/out"), os.Mkdir(w.dir+"/empty", 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.mustPost("v1", "/dangling")
	for _, path := range []string{"out/x", "empty"} {
		if code, body := w.post("v1", "/x", "path", path); code != 500 || !strings.HasPrefix(body, "failed to replace file: ") {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("written outside: %v", entries)
	}
	if info, err := os.Stat(w.dir + "/empty"); err != nil || !info.IsDir() {
		t.Errorf("the directory is gone")
	}
}

func TestProcessNotFound(t *testing.T) {
	w := newWorld(t, replaced("signalName: SIGHUP", "signalName: SIGHUP\n            wait: 300ms"))
	w.game.kill()
	code, body := w.post("v1", "/index.html")
	if code != 500 || !strings.HasPrefix(body, "failed to signal process: ") || !strings.Contains(body, w.game.name) {
		t.Errorf("%d %q", code, body)
	}
	if got := w.api.annotation(annotationKey); got != "v1: Update failed: "+body {
		t.Errorf("annotation %q", got)
	}
	if f := w.files()["index.html"]; f.State != api.FileFailed || f.Version != "v1" || f.SHA256 != sum(w.onDisk("index.html")) {
		t.Errorf("files %+v", f)
	}
	if strings.Contains(w.api.key(), "v1") {
		t.Errorf("the ConfigMap says it was applied: %s", w.api.key())
	}
}

func TestProcessThatStartsLater(t *testing.T) {
	w := newWorld(t)
	w.game.kill()
	started := make(chan struct{})
	go func() {
		defer close(started)
		time.Sleep(300 * time.Millisecond)
		w.game.start(t)
	}()
	w.mustPost("v1", "/index.html")
	<-started
	if got := w.game.signals(); got != 1 {
		t.Errorf("%d signals", got)
	}
}

// A result that the cluster does not know is an error, and is told later.
func TestResultNotStored(t *testing.T) {
	for _, call := range []string{"PATCH pods", "PATCH configmaps"} {
		w := newWorld(t)
		w.mustPost("v1", "/v1/index.html")
		w.api.failing(call, 403)
		code, body := w.post("v2", "/v2/index.html")
		if code != 500 || !strings.HasPrefix(body, "failed to store result: ") {
			t.Errorf("%s: %d %q", call, code, body)
		}
		w.api.failing(call, 0)
		eventually(t, "the result is stored", func() bool {
			return w.api.annotation(annotationKey) == "v2: Update success" && strings.Contains(w.api.key(), "v2: ")
		})
		w.stop()
	}
}

// Passing failures of the API server are not the caller's business.
func TestAPIServerRestarts(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/v1/index.html")
	w.api.failing("PATCH pods", 503)
	time.AfterFunc(200*time.Millisecond, func() { w.api.failing("PATCH pods", 0) })
	w.mustPost("v2", "/v2/index.html")
}

// 20 at once, of a file large enough to be seen torn: every answer is true, the
// file is always whole, and all that tells of it agrees at the end.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	const size = 1 << 20
	var downloads, together atomic.Int64
	w.file = func(rw http.ResponseWriter, r *http.Request) {
		if downloads.Add(1) > 1 {
			together.Add(1)
		}
		defer downloads.Add(-1)
		rw.Write(bytes.Repeat([]byte(r.URL.Query().Get("letter")), size))
	}
	w.mustPost("v100", "/index.html?letter=z")
	var stop atomic.Bool
	var reads, wrong atomic.Int64
	var reader, posts sync.WaitGroup
	reader.Go(func() {
		for ; !stop.Load(); reads.Add(1) {
			if got := w.onDisk("index.html"); len(got) != size || strings.Count(got, got[:1]) != size {
				wrong.Add(1)
			}
		}
	})
	for i := range 20 {
		posts.Go(func() { w.mustPost(fmt.Sprintf("v%d", i), fmt.Sprintf("/index.html?letter=%c", 'a'+i)) })
	}
	posts.Wait()
	stop.Store(true)
	reader.Wait()
	if wrong.Load() > 0 || reads.Load() < 20 {
		t.Errorf("%d of %d reads torn or missing", wrong.Load(), reads.Load())
	}
	if together.Load() > 0 {
		t.Error("updates of one file did not take turns")
	}
	f := w.files()["index.html"]
	if f.SHA256 != sum(w.onDisk("index.html")) || w.api.annotation(annotationKey) != f.Version+": Update success" {
		t.Errorf("disagreement: files %+v, annotation %q", f, w.api.annotation(annotationKey))
	}
	lines := strings.Split(strings.TrimSpace(w.api.key()), "\n")
	if !strings.HasPrefix(strings.TrimSpace(lines[len(lines)-1]), f.Version+": ") || len(lines) != 1+maxHistory {
		t.Errorf("ConfigMap: %d lines, the last %q; live is %s", len(lines), lines[len(lines)-1], f.Version)
	}
	if got := w.game.signals(); got < 1 {
		t.Error("no signal")
	}
}

// A caller that hangs up leaves nothing half done, and neither does a sidecar
// that is asked to stop.
func TestUpdatesOutliveCallersAndStops(t *testing.T) {
	for name, end := range map[string]func(*world, context.CancelFunc){
		"caller hangs up": func(_ *world, hangUp context.CancelFunc) { hangUp() },
		"sidecar stops":   func(w *world, _ context.CancelFunc) { go w.stop() },
	} {
		w := newWorld(t)
		begun, goOn := make(chan struct{}), make(chan struct{})
		w.file = func(rw http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-goOn
			fmt.Fprint(rw, "slow")
		}
		ctx, hangUp := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "POST", w.url, strings.NewReader("version=v1&url="+w.up.URL+"/index.html"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", form)
		go http.DefaultClient.Do(req)
		<-begun
		end(w, hangUp)
		time.Sleep(100 * time.Millisecond)
		close(goOn)
		eventually(t, name+": it is finished", func() bool {
			return w.onDisk("index.html") == "slow" && w.api.annotation(annotationKey) == "v1: Update success"
		})
		hangUp()
	}
}

// Whoever is slow to say what he wants is cut off.
func TestSlowCaller(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(w.url, "http://"), "/hot-update"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /hot-update HTTP/1.1\r\nHost: x\r\n")
	conn.SetReadDeadline(time.Now().Add(2 * headerTimeout))
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("still connected: %v", err)
	}
}

func TestKeepsMode(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/run.sh")
	os.Chmod(filepath.Join(w.dir, "run.sh"), 0o755)
	w.mustPost("v2", "/run.sh")
	if info, _ := os.Stat(filepath.Join(w.dir, "run.sh")); info.Mode().Perm() != fs.FileMode(0o755) {
		t.Errorf("mode %v", info.Mode())
	}
	if info, _ := os.Stat(filepath.Join(w.dir, bookName)); info.Mode().Perm() != bookMode {
		t.Errorf("the book can be read by all: %v", info.Mode())
	}
}
