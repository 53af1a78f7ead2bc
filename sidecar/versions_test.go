package sidecar

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// all are the keys of the existing sidecar's ConfigMap.
func (s *apiServer) all(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.configMaps[name]))
}

// Keys of pods that are gone for good go, as far as the sidecar may see that they
// are; what may be another namespace's pod stays, and so does what may come back.
func TestKeysOfGonePods(t *testing.T) {
	keys := map[string]string{
		"default-game-0":                "its own",
		"default-game-1":                "of a StatefulSet: comes back",
		"default-game-24567":            "likewise",
		"default-alone":                 "may be made again by hand",
		"default-web-5d9c7b8f6-x2k9p":   "is there",
		"default-web-5d9c7b8f6-zzzzz":   "is gone",
		"default-daemon-bcdfg":          "is gone",
		"other-web-5d9c7b8f6-x2k9p":     "another namespace's, and gone there",
		"default-notes-of-mine-for-bcd": "no record",
	}
	for name, c := range map[string]struct {
		changes     []change
		configMap   string
		clusterWide bool
		gone        []string
	}{
		"the existing sidecar's rights":   {nil, "kube-system/sidecar-result", true, []string{"default-daemon-bcdfg", "default-web-5d9c7b8f6-zzzzz", "other-web-5d9c7b8f6-x2k9p"}},
		"rights in the namespace alone":   {nil, "kube-system/sidecar-result", false, nil},
		"a ConfigMap of the namespace":    {[]change{replaced("inKube:\n", "inKube:\n                configMap: results\n")}, "default/results", false, []string{"default-daemon-bcdfg", "default-web-5d9c7b8f6-zzzzz"}},
		"a ConfigMap elsewhere, named so": {[]change{replaced("inKube:\n", "inKube:\n                configMap: other/results\n")}, "other/results", false, nil},
	} {
		w := newWorldWith(t, func(w *world) {
			w.api.clusterWide = c.clusterWide
			w.api.pods["web-5d9c7b8f6-x2k9p"] = "{}"
			data := map[string]string{}
			for key := range keys {
				data[key] = "hot_update:\n    OriginVersion: OriginUrl\n"
			}
			data["default-notes-of-mine-for-bcd"] = "buy milk"
			w.api.configMaps[c.configMap] = data
		}, c.changes...)
		eventually(t, name+": it has begun", func() bool {
			code, _ := w.send("GET", w.url[:len(w.url)-len("hot-update")]+"readyz", "", "")
			return code == 200
		})
		w.mustPost("v1", "/index.html")
		left := w.api.all(c.configMap)
		for key, why := range keys {
			if slices.Contains(left, key) == slices.Contains(c.gone, key) {
				t.Errorf("%s: %s (%s): there is %t", name, key, why, slices.Contains(left, key))
			}
		}
		w.stop()
	}
}

// One start looks after few keys, so that it takes no longer the more there are.
func TestFewKeysAtATime(t *testing.T) {
	w := newWorldWith(t, func(w *world) {
		w.api.clusterWide = true
		data := map[string]string{}
		for i := range 100 {
			data[fmt.Sprintf("default-web-5d9c7b8f6-bcd%c%c", "bcdfghjklm"[i/10], "bcdfghjklm"[i%10])] = "hot_update:\n    OriginVersion: OriginUrl\n"
		}
		w.api.configMaps["kube-system/sidecar-result"] = data
	})
	eventually(t, "some are gone, and its own is there", func() bool { return len(w.api.all("kube-system/sidecar-result")) == 101-maxPruned })
}
