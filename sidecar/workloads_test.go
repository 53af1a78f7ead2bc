package sidecar

import (
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"hotpatch.dev/hotpatch/sidecar/kube"
)

// byWorkload has results in the pod's own namespace, by workload.
func byWorkload(c string) string {
	return strings.Replace(c, "inKube:\n", "inKube:\n                configMap: results\n                layout: Workloads\n", 1)
}

func owned(kind, name string) string {
	return `{"ownerReferences":[{"kind":"` + kind + `","name":"` + name + `","controller":true}]}`
}

// data is what the ConfigMaps of the results say, taken together.
func (s *apiServer) data() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for number := range shards {
		for k, v := range s.configMaps[shard(kube.ConfigMap{Namespace: "default", Name: "results"}, number).String()] {
			all[k] = v
		}
	}
	return all
}

func (s *apiServer) put(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := shard(kube.ConfigMap{Namespace: "default", Name: "results"}, shardOf(key)).String()
	if s.configMaps[name] == nil {
		s.configMaps[name] = map[string]string{}
	}
	s.configMaps[name][key] = value
}

// A pod of the same name gets back its own files, by digest and wherever they
// were put, even if its URL is dead by then; and not those of its neighbours.
func TestNewPodByDigest(t *testing.T) {
	var reconciler string
	w := newWorldWith(t, func(w *world) { w.api.pods["game-0"] = owned("StatefulSet", "game"); reconciler = w.up.URL }, byWorkload, func(c string) string {
		return strings.Replace(c, "timeout: 2s", "timeout: 2s, byDigest: '"+reconciler+"/digests/'", 1)
	})
	w.mustPost("v3", "/v3/index.html", "path", "sub/page.html")
	w.mustPost("v2", "/v2/index.html", "path", "sub/page.html")
	w.api.put("StatefulSet_game_game-1", `{"time":"2099-01-01T00:00:00Z","files":[{"path":"other.html","version":"v9","url":"http://127.0.0.1:1/","sha256":"00","time":"2099-01-01T00:00:00Z"}]}`)
	w.stop()
	os.RemoveAll(w.dir)
	var asked atomic.Value
	w.serves(func(rw http.ResponseWriter, r *http.Request) {
		if name, ok := strings.CutPrefix(r.URL.Path, "/digests/"); ok {
			asked.Store(name)
			r.URL.Path = "/v2/index.html"
			content(rw, r)
			return
		}
		http.NotFound(rw, r)
	})
	w.start()
	eventually(t, "the file is back", func() bool { return w.onDisk("sub/page.html") == "content of /v2/index.html" })
	if want := sum("content of /v2/index.html") + "/page.html"; asked.Load() != want {
		t.Errorf("asked for %q, want %q", asked.Load(), want)
	}
	eventually(t, "the process was told", func() bool { return w.files()["sub/page.html"].State == "Updated" && w.game.signals() == 3 })
	if _, err := os.Stat(w.dir + "/other.html"); err == nil {
		t.Error("a neighbour's file appeared")
	}
}

// A pod with a new name begins with what its workload got last, and takes away
// the keys of pods that are gone.
func TestNewPodOfADeployment(t *testing.T) {
	record := func(time, version string) string {
		return `{"time":"` + time + `","files":[{"path":"index.html","version":"` + version + `","url":"UP/` + version + `","sha256":"` + sum("content of /"+version) + `","time":"` + time + `"}]}`
	}
	w := newWorldWith(t, func(w *world) {
		w.api.pods["game-0"] = `{"labels":{"pod-template-hash":"5d9"},"ownerReferences":[{"kind":"ReplicaSet","name":"game-5d9","controller":true}]}`
		w.api.pods["game-5d9-alive"] = "{}"
		for pod, time := range map[string]string{"game-5d9-gone": "2026-01-01T00:00:00Z", "game-5d9-alive": "2026-01-02T00:00:00Z", "game-5d9-last": "2026-01-03T00:00:00Z"} {
			w.api.put("Deployment_game_"+pod, strings.ReplaceAll(record(time, "v"+time[9:10]), "UP", w.up.URL))
		}
		w.api.put("Deployment_other_x", strings.ReplaceAll(record("2026-01-04T00:00:00Z", "v4"), "UP", w.up.URL))
	}, byWorkload)
	eventually(t, "the workload's last file is there", func() bool { return w.onDisk("index.html") == "content of /v3" })
	eventually(t, "its own key is there", func() bool { return strings.Contains(w.api.data()["Deployment_game_game-0"], `"version":"v3"`) })
	data := w.api.data()
	for key, want := range map[string]bool{"Deployment_game_game-5d9-gone": false, "Deployment_game_game-5d9-alive": true, "Deployment_game_game-5d9-last": true, "Deployment_other_x": true} {
		if _, ok := data[key]; ok != want {
			t.Errorf("%s is there: %v", key, ok)
		}
	}
}

// A startup probe lets the main container start when the files are in place,
// told or not, or when the time is up.
func TestReadyWhenFilesAreInPlace(t *testing.T) {
	for hold, opens := range map[string]bool{"1m": false, "700ms": true, "0s": true} {
		w := newWorld(t, added("restore: {hold: "+hold+"}\n"))
		ready := func() bool {
			code, _ := w.send("GET", strings.TrimSuffix(w.url, "hot-update")+"readyz", "", "")
			return code == 200
		}
		eventually(t, "a pod that has nothing to restore is ready", ready)
		w.mustPost("v1", "/index.html")
		w.stop()
		w.game.kill() // not started yet
		os.RemoveAll(w.dir)
		w.serves(http.NotFound)
		w.start()
		eventually(t, "the restore has begun", func() bool { return w.files()["index.html"].State == "Failed" })
		if opens {
			eventually(t, "the time is up", ready)
			w.stop()
			continue
		}
		if ready() {
			t.Errorf("ready without the file")
		}
		w.serves(content)
		eventually(t, "it is ready", ready)
		if got := w.onDisk("index.html"); got != "content of /index.html" {
			t.Errorf("ready, and on disk is %q", got)
		}
		w.stop()
	}
}
