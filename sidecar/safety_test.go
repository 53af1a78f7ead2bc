package sidecar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
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

// An upstream that hangs does not keep out a newer update of the same file, and
// the older one is told so.
func TestNewestGoesFirstWhenOneHangs(t *testing.T) {
	w := newWorld(t, replaced("timeout: 2s", "timeout: 2m"))
	begun := make(chan struct{})
	w.serves(func(_ http.ResponseWriter, r *http.Request) { close(begun); <-r.Context().Done() })
	older := make(chan string, 1)
	go func() {
		_, body := w.post("v1", "/index.html")
		older <- body
	}()
	<-begun
	w.serves(content)
	start := time.Now()
	w.mustPost("v2", "/v2/index.html")
	if took := time.Since(start); took > 2*patience {
		t.Errorf("the newer one waited for %s", took)
	}
	if body := <-older; body != "failed to download file: "+errGaveWay.Error() {
		t.Errorf("the older one: %q", body)
	}
	if f := w.files()["index.html"]; f.Version != "v2" || w.onDisk("index.html") != "content of /v2/index.html" {
		t.Errorf("files %+v", f)
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
		w.serves(func(rw http.ResponseWriter, _ *http.Request) {
			close(begun)
			<-goOn
			fmt.Fprint(rw, "slow")
		})
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
