package sidecar

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// levels is an archive of so many files that all say the same.
func levels(says string, many int) string {
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for i := range many {
		w.WriteHeader(&tar.Header{Name: fmt.Sprintf("level-%d/map.txt", i), Typeflag: tar.TypeReg, Size: int64(len(says)), Mode: 0o644})
		fmt.Fprint(w, says)
	}
	w.Close()
	zip.Close()
	return out.String()
}

// archives has the upstream answer with levels that say their URL's path.
func archives(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, levels(r.URL.Path, 10)) }

// trees counts the directories of archives' content.
func (w *world) trees() (n int) {
	entries, _ := os.ReadDir(w.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), treePrefix) || strings.HasPrefix(e.Name(), halfTree) {
			n++
		}
	}
	return n
}

// The files of an archive switch together, for every reader and at every moment.
func TestArchiveSwitchesTogether(t *testing.T) {
	w := newWorld(t, replaced("loadPatchType: signal", "loadPatchType: none"))
	w.serves(archives)
	w.mustPost("v1", "/0/levels.tar.gz", "extract", "1")
	var stop atomic.Bool
	var reads, mixed int
	var reader sync.WaitGroup
	reader.Go(func() {
		for ; !stop.Load(); reads++ {
			before, _ := os.Readlink(w.dir + "/levels")
			dir, err := os.OpenRoot(w.dir + "/" + before) // as a process does that stays in the directory
			if err != nil {
				if now, _ := os.Readlink(w.dir + "/levels"); now == before {
					mixed++
				}
				continue
			}
			first, _ := dir.ReadFile("level-0/map.txt")
			last, _ := dir.ReadFile("level-9/map.txt")
			now, _ := os.Readlink(w.dir + "/levels")
			// Of a directory that was replaced meanwhile, and replaced again,
			// nothing may be left; what is read is never mixed.
			gone := now != before && (len(first) == 0 || len(last) == 0)
			if !gone && (len(first) == 0 || string(first) != string(last)) {
				mixed++
			}
			dir.Close()
		}
	})
	for i := range 40 {
		w.mustPost("v2", fmt.Sprintf("/%d/levels.tar.gz", i), "extract", "1")
	}
	stop.Store(true)
	reader.Wait()
	if mixed > 0 || reads < 40 {
		t.Errorf("%d of %d reads missing or mixed", mixed, reads)
	}
	if got := w.onDisk("levels/level-3/map.txt"); got != "/39/levels.tar.gz" || w.trees() != 2 {
		t.Errorf("%q, and %d trees", got, w.trees())
	}
	if f := w.files()["levels"]; f.Version != "v2" || f.SHA256 != sum(levels("/39/levels.tar.gz", 10)) {
		t.Errorf("files %+v", f)
	}
}

func TestArchiveByDigest(t *testing.T) {
	w := newWorld(t)
	w.serves(archives)
	fields := []string{"extract", "1", "sha256", sum(levels("/levels.tgz", 10)), "path", "game/levels"}
	w.mustPost("v1", "/levels.tgz", fields...)
	w.mustPost("v1", "/levels.tgz", fields...)
	if got := w.game.signals(); got != 1 {
		t.Errorf("%d signals after the same call twice", got)
	}
	code, body := w.post("v2", "/other.tgz", "extract", "1", "sha256", sum("another"), "path", "game/levels")
	if code != 500 || !strings.HasPrefix(body, "failed to download file: ") || w.onDisk("game/levels/level-3/map.txt") != "/levels.tgz" {
		t.Errorf("%d %q", code, body)
	}
	w.stop()
	os.Remove(w.dir + "/game/levels")
	os.Mkdir(w.dir+"/game/"+halfTree+"X", 0o755)
	w.start()
	eventually(t, "the directory is back", func() bool { return w.onDisk("game/levels/level-3/map.txt") == "/levels.tgz" })
	if _, err := os.Stat(w.dir + "/game/" + halfTree + "X"); err == nil {
		t.Error("an unfinished directory was left")
	}
}

// What is not an archive, or would stand in the place of what is none, changes
// nothing.
func TestArchiveRefused(t *testing.T) {
	w := newWorld(t, replaced("loadPatchType: signal", "loadPatchType: none"), replaced("timeout: 2s", "timeout: 2s, maxBytes: 100000"))
	if err := os.MkdirAll(w.dir+"/real", 0o755); err != nil {
		t.Fatal(err)
	}
	w.mustPost("v1", "/file")
	w.serves(archives)
	w.mustPost("v1", "/levels.tar", "extract", "1")
	for path, says := range map[string]string{"real": "left alone", "file": "left alone", "levels/level-0": "not followed"} {
		if code, body := w.post("v2", "/x.tar", "extract", "1", "path", path); code != 500 || !strings.HasPrefix(body, "failed to replace file: ") || !strings.Contains(body, says) {
			t.Errorf("%s: %d %q; want …%s", path, code, body, says)
		}
	}
	for name, answer := range map[string]string{"no archive": "<html>", "a bomb": strings.Repeat("x", 50000) + "y"} {
		w.serves(func(rw http.ResponseWriter, _ *http.Request) {
			if name == "a bomb" {
				answer = levels(answer, 10)
			}
			fmt.Fprint(rw, answer)
		})
		if code, body := w.post("v2", "/levels.tar", "extract", "1"); code != 500 || !strings.HasPrefix(body, "failed to download file: ") {
			t.Errorf("%s: %d %q", name, code, body)
		}
	}
	if got := w.onDisk("levels/level-0/map.txt"); got != "/levels.tar" || w.trees() != 1 {
		t.Errorf("%q, %d trees", got, w.trees())
	}
	if info, err := os.Stat(filepath.Join(w.dir, "real")); err != nil || !info.IsDir() {
		t.Error("the directory is gone")
	}
	w.serves(content)
	w.mustPost("v3", "/levels") // a file may take a link's place
}
