package sidecar

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

// killed is one kind of update that a sidecar is killed in.
type killed struct {
	serves http.HandlerFunc
	url    string // with the version in the place of %s
	path   string
	fields url.Values
	files  []string // all of which say the URL's path
	steps  []string // that have to be among those found
}

// The real process is killed before each step of an update: what is there is
// wholly old or wholly new, and the next life finishes what has begun.
func TestKilledBeforeEachStep(t *testing.T) {
	if os.Getenv("SIDECAR_WATCHED") != "" {
		fmt.Fprintln(os.Stderr, becomeWatched(os.Args[2:]))
		os.Exit(1)
	}
	bin := filepath.Join(t.TempDir(), "hotpatch-sidecar")
	if out, err := exec.Command("go", "build", "-o", bin, "../cmd/hotpatch-sidecar").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	few := func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, levels(r.URL.Path, 2)) }
	for name, k := range map[string]killed{
		"file": {
			serves: content, url: "/%s/index.html", path: "index.html", files: []string{"index.html"},
			steps: []string{"connect", "create .hotpatch-*.tmp", "write .hotpatch-*.tmp", "create " + begunName("index.html"), "write " + begunName("index.html"),
				"fsync .hotpatch-*.tmp", "rename to index.html", "fsync downloads", "signal 1", "write socket", "rename to .hotpatch.json", "remove " + begunName("index.html")},
		},
		"archive": {
			serves: few, url: "/%s/levels.tar.gz", path: "levels", fields: url.Values{"extract": {"1"}}, files: []string{"levels/level-0/map.txt", "levels/level-1/map.txt"},
			steps: []string{"make directory level-1", "fsync map.txt", "write " + begunName("levels"), "rename to levels", "fsync downloads", "signal 1", "remove " + begunName("levels")},
		},
	} {
		t.Run(name, func(t *testing.T) { k.test(t, bin) })
	}
}

func (k killed) test(t *testing.T, bin string) {
	w := newWorld(t)
	w.serves(k.serves)
	if code, body := w.send("POST", w.url, form, k.ask(w, "v0")); code != 200 {
		t.Fatalf("%d %q", code, body)
	}
	old := "v0"
	for at := range 1000 {
		w.stop()
		version := fmt.Sprintf("v%d", at+1)
		steps, answered := k.kill(t, w, bin, at, version)
		if answered {
			t.Logf("killed before each of %d steps: %s", at, strings.Join(steps, ", "))
			for _, want := range k.steps {
				if !slices.Contains(steps, want) {
					t.Errorf("no step %q was found", want)
				}
			}
			return
		}
		old = k.goesOn(t, w, steps, old, version)
	}
	t.Error("no update was ever finished")
}

func (k killed) ask(w *world, version string) string {
	v := url.Values{"version": {version}, "url": {w.up.URL + fmt.Sprintf(k.url, version)}}
	for name, values := range k.fields {
		v[name] = values
	}
	return v.Encode()
}

// kill has a life that is killed before the step of that number, unless its
// update has so few.
func (k killed) kill(t *testing.T, w *world, bin string, at int, version string) (steps []string, answered bool) {
	t.Helper()
	life := watch(t, at, bin, "--config", w.conf, "--dir", w.dir, "--listen", "127.0.0.1:0", "--service-account", w.api.account)
	address, log := addressOf(t, life.cmd)
	life.pair.Close()
	defer log.Close()
	life.armed.Store(true)
	resp, err := http.Post("http://"+address+"/hot-update", form, strings.NewReader(k.ask(w, version)))
	if err == nil {
		resp.Body.Close()
		life.cmd.Process.Kill()
	}
	<-life.over
	life.cmd.Wait()
	if err == nil && resp.StatusCode != 200 {
		t.Fatalf("answered %s", resp.Status)
	}
	return life.steps, err == nil
}

// goesOn looks at what a killed life has left, and at what the next one makes of
// it: the version that is there for good.
func (k killed) goesOn(t *testing.T, w *world, steps []string, old, version string) string {
	t.Helper()
	where := "killed before: " + steps[len(steps)-1]
	found := k.version(w)
	if found != old && found != version {
		t.Fatalf("%s: there is %q; want %s or %s", where, found, old, version)
	}
	want := old
	if found == version || k.hasBegun(t, w) {
		want = version
	}
	w.game.forget()
	w.start()
	eventually(t, where+": "+want+" is there and told of everywhere", func() bool {
		f := w.files()[k.path]
		return k.version(w) == want && f.State == api.FileUpdated && f.Version == want && w.api.annotation(annotationKey) == want+": Update success" &&
			(k.path != "index.html" || strings.HasSuffix(w.api.key(), want+"/index.html\n"))
	})
	eventually(t, where+": nothing else is left", func() bool { return len(w.leftovers(k.path)) == 0 })
	if finished := slices.Contains(steps[:len(steps)-1], "rename to "+bookName); want == version && !finished {
		eventually(t, where+": the process is told again", func() bool { return w.game.signals() > 0 })
	}
	return want
}

// version is what all the files say, or what is wrong with them.
func (k killed) version(w *world) string {
	says := w.onDisk(k.files[0])
	for _, name := range k.files {
		if w.onDisk(name) != says {
			return "a mix"
		}
	}
	_, rest, _ := strings.Cut(says, "/")
	version, _, _ := strings.Cut(rest, "/")
	if !strings.HasSuffix(says, fmt.Sprintf(k.url, version)) {
		return says
	}
	return version
}

// hasBegun tells whether the life has left a note of its update.
func (k killed) hasBegun(t *testing.T, w *world) bool {
	t.Helper()
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	book, err := openBook(root)
	if err != nil {
		t.Fatal(err)
	}
	return book.entry(k.path).Next != nil
}

// leftovers are what stands in the directory and has no business there.
func (w *world) leftovers(path string) (names []string) {
	entries, _ := os.ReadDir(w.dir)
	target, _ := os.Readlink(filepath.Join(w.dir, path))
	for _, e := range entries {
		// The tree before the present one stays for those who are in it.
		if !slices.Contains([]string{path, bookName, target}, e.Name()) && treeDigest(e.Name()) == "" {
			names = append(names, e.Name())
		}
	}
	return names
}
