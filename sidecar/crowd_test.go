package sidecar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// crowd is many posts of one file at once, over and over, and somebody who reads it
// all the while.
type crowd struct {
	*world
	size      int
	downloads atomic.Int64 // under way
	together  atomic.Int64 // that were under way at the same time
	last      atomic.Value // version that the upstream was asked for last
	reads     int
	wrong     int // of them torn or missing
}

// serve answers with so many letters of the version's last digit.
func (c *crowd) serve(rw http.ResponseWriter, r *http.Request) {
	if c.downloads.Add(1) > 1 {
		c.together.Add(1)
	}
	defer c.downloads.Add(-1)
	version := r.FormValue("v")
	c.last.Store(version)
	rw.Write(c.content(version))
}

func (c *crowd) content(version string) []byte {
	return bytes.Repeat([]byte(version[len(version)-1:]), c.size)
}

// watch reads until it is stopped.
func (c *crowd) watch() (stop func()) {
	var over atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		for ; !over.Load(); c.reads++ {
			time.Sleep(50 * time.Microsecond) // or this is all that the machine does
			if got := c.onDisk("index.html"); len(got) != c.size || strings.Count(got, got[:1]) != c.size {
				c.wrong++
			}
		}
	})
	return func() { over.Store(true); reader.Wait() }
}

// post posts a version and judges the answer.
func (c *crowd) post(version string) {
	v := url.Values{"version": {version}, "url": {c.up.URL + "/index.html?v=" + version}}
	code, body := c.send("POST", c.url, form, v.Encode(), "Accept", "application/json")
	var f api.ObservedFile
	if err := json.Unmarshal([]byte(body), &f); err != nil || code != 200 || f.State != api.FileUpdated {
		c.t.Errorf("%s: %d %s", version, code, body)
	}
	if want := sum(string(c.content(version))); f.Version != version || f.SHA256 != want {
		c.t.Errorf("%s: was told of %s with %s, which is not what it asked for", version, f.Version, f.SHA256)
	}
}

// round has so many posts at once, and looks whether all that tells of the file then
// tells of the one whose turn came last.
func (c *crowd) round(number, posts int) {
	var all sync.WaitGroup
	for i := range posts {
		all.Go(func() { c.post(fmt.Sprintf("v%d.%d", number, i)) })
	}
	all.Wait()
	last := c.last.Load().(string)
	f := c.files()["index.html"]
	if f.Version != last || f.SHA256 != sum(c.onDisk("index.html")) || f.SHA256 != sum(string(c.content(last))) {
		c.t.Errorf("round %d: %s came last, and there is %+v", number, last, f)
	}
	if got := c.api.annotation(annotationKey); got != last+": Update success" {
		c.t.Errorf("round %d: %s came last, and the annotation is %q", number, last, got)
	}
	lines := strings.Split(strings.TrimSpace(c.api.key()), "\n")
	if !strings.HasPrefix(strings.TrimSpace(lines[len(lines)-1]), last+": ") || len(lines) > 1+maxHistory {
		c.t.Errorf("round %d: %s came last, and the ConfigMap has %d lines, the last %q", number, last, len(lines), lines[len(lines)-1])
	}
}

func (c *crowd) run(rounds, posts int) {
	c.serves(c.serve)
	c.post("v0")
	stop := c.watch()
	for i := range rounds {
		c.round(i+1, posts)
	}
	stop()
	c.t.Logf("%d posts, %d reads, %d signals", rounds*posts, c.reads, c.game.signals())
	if c.wrong > 0 || c.reads < 20 {
		c.t.Errorf("%d of %d reads torn or missing", c.wrong, c.reads)
	}
	if c.together.Load() > 0 {
		c.t.Error("updates of one file did not take turns")
	}
	if c.game.signals() < rounds {
		c.t.Error("signals are missing")
	}
}

// 20 at once, 50 times: every answer is true, the file is always whole, and all that
// tells of it agrees after each round. The existing sidecar stores 1 to 5 of 20.
func TestManyAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm") // a disk would be waited for six thousand times
	(&crowd{world: newWorld(t), size: 4 << 10}).run(50, 20)
}

// The same of a file that takes time to write.
func TestManyAtOnceOfALargeFile(t *testing.T) {
	(&crowd{world: newWorld(t), size: 1 << 20}).run(1, 20)
}
