package sidecar

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// A restart with the directory intact changes nothing and signals nobody.
func TestRestartChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v2", "/v2/index.html")
	w.mustPost("v1", "/v1/index.html")
	before := w.game.signals()
	w.stop()
	w.up.Close() // and nothing is needed from there
	w.start()
	time.Sleep(300 * time.Millisecond)
	if got := w.onDisk("index.html"); got != "content of /v1/index.html" || w.game.signals() != before {
		t.Errorf("on disk %q, %d signals after %d", got, w.game.signals(), before)
	}
}

// A new pod of the same name, with an empty directory, gets back what was
// applied last, which is not the highest version.
func TestNewPodGetsTheLastApplied(t *testing.T) {
	w := newWorld(t)
	for _, v := range []string{"v1", "v3", "v1.2.3.4"} {
		w.mustPost(v, "/"+v+"/index.html")
	}
	w.mustPost("v7", "/other.html")
	w.stop()
	os.RemoveAll(w.dir)
	w.start()
	for name, want := range map[string]string{"index.html": "content of /v1.2.3.4/index.html", "other.html": "content of /other.html"} {
		eventually(t, name+" is back", func() bool { return w.onDisk(name) == want && w.files()[name].State == api.FileUpdated })
	}
}

// A dead URL and a process that is not there yet hold nothing up: the sidecar
// serves, and the restore goes on in the background.
func TestRestoreGoesOn(t *testing.T) {
	w := newWorld(t, replaced("signalName: SIGHUP", "signalName: SIGHUP\n            wait: 100ms"))
	w.mustPost("v1", "/v1/index.html")
	w.stop()
	os.RemoveAll(w.dir)
	w.game.kill()
	w.serves(http.NotFound)
	w.start()
	eventually(t, "the failure is told", func() bool { return w.files()["index.html"].State == api.FileFailed })
	if code, _ := w.send("GET", strings.TrimSuffix(w.url, "hot-update")+"healthz", "", ""); code != 200 {
		t.Errorf("healthz %d", code)
	}
	w.serves(content)
	eventually(t, "the file is back", func() bool { return w.onDisk("index.html") == "content of /v1/index.html" })
	w.game.start(t)
	eventually(t, "the process was told", func() bool {
		return w.game.signals() > 0 && w.api.annotation(annotationKey) == "v1: Update success"
	})
}

// What a caller asks for meanwhile is not undone by the restore.
func TestRestoreLeavesNewerAlone(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/v1/index.html")
	w.stop()
	os.RemoveAll(w.dir)
	w.serves(http.NotFound)
	w.start()
	eventually(t, "the restore has begun", func() bool { return w.files()["index.html"].State == api.FileFailed })
	w.serves(content)
	w.mustPost("v0", "/v0/index.html")
	time.Sleep(2500 * time.Millisecond) // more than a try of the restore
	if got := w.onDisk("index.html"); got != "content of /v0/index.html" || w.game.signals() != 2 {
		t.Errorf("on disk %q, %d signals", got, w.game.signals())
	}
}

// A file lost or changed while the sidecar was away is put back by digest.
func TestLostFileIsPutBack(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/index.html", "path", "sub/index.html")
	w.mustPost("v2", "/page.html")
	w.stop()
	os.Remove(filepath.Join(w.dir, "page.html"))
	os.WriteFile(filepath.Join(w.dir, "sub/index.html"), []byte("meddled with"), 0o644)
	w.start()
	eventually(t, "both are back", func() bool {
		return w.onDisk("page.html") == "content of /page.html" && w.onDisk("sub/index.html") == "content of /index.html"
	})
	if _, err := os.Stat(filepath.Join(w.dir, "index.html")); err == nil {
		t.Error("a file appeared that nobody asked for")
	}
}

func TestBrokenBookIsNoObstacle(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/index.html")
	w.stop()
	os.WriteFile(filepath.Join(w.dir, bookName), []byte("{"), 0o600)
	w.start()
	w.mustPost("v2", "/index.html")
}

// An update that was cut off between file and signal is finished by the next
// life: the process is told at least once, the record tells it.
func TestCutOffUpdateIsFinished(t *testing.T) {
	w := newWorld(t)
	w.mustPost("v1", "/v1/index.html")
	w.stop()
	content := "content of /v2/index.html"
	share, err := openShare(t.Context(), w.dir)
	if err != nil {
		t.Fatal(err)
	}
	book, err := openBook(share.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := book.begin(ask{path: "index.html", version: "v2", url: w.up.URL + "/v2/index.html"}, sum(content)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "index.html"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	w.start()
	eventually(t, "it is finished", func() bool {
		return w.api.annotation(annotationKey) == "v2: Update success" && w.game.signals() == 2 && strings.Contains(w.api.key(), "v2: ")
	})
}

// addressOf starts a sidecar and reads the address off its log.
func addressOf(t *testing.T, life *exec.Cmd) (string, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	life.Stderr = w
	if err := life.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var log strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		log.Write(buf[:n])
		if _, rest, ok := strings.Cut(log.String(), `address="`); ok && strings.Contains(rest, `"`) {
			address, _, _ := strings.Cut(rest, `"`)
			return address, r
		}
		if err != nil {
			t.Fatalf("the sidecar did not start: %s", log.String())
		}
	}
}
