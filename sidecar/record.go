package sidecar

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/sidecar/kube"
)

const (
	// shards are so many ConfigMaps, because one may have 1 MiB.
	shards = 4
	// maxRecord of one pod, in bytes: what does not fit is not brought back by a
	// new pod, but by the reconciler's next call.
	maxRecord = 64 << 10
	// goneFor is how long a pod that may come back is remembered.
	goneFor = 30 * 24 * time.Hour
	// maxPruned is how many keys one start looks after.
	maxPruned = 16
)

// record is one pod's key: what is in place there.
type record struct {
	Time  time.Time    `json:"time"` // of the newest file
	Files []recordFile `json:"files"`
}

type recordFile struct {
	Path    string    `json:"path"`
	Version string    `json:"version"`
	URL     string    `json:"url"`
	SHA256  string    `json:"sha256"`
	Extract bool      `json:"extract,omitempty"`
	Time    time.Time `json:"time"`
}

// recordOf is what a page leaves: the files that are in place, newest first.
func recordOf(p page) record {
	r := record{Files: []recordFile{}}
	for _, e := range p.Files {
		if e.SHA256 != "" && e.URL != "" {
			r.Files = append(r.Files, recordFile{e.Path, e.Version, e.URL, e.SHA256, e.Extract, e.Time})
		}
	}
	slices.SortFunc(r.Files, func(a, b recordFile) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	if len(r.Files) > 0 {
		r.Time = r.Files[0].Time
	}
	return r
}

// String is the key's value.
func (r record) String() string {
	for {
		text, _ := json.Marshal(r) // strings and times: cannot fail
		if len(text) <= maxRecord {
			return string(text)
		}
		r.Files = r.Files[:len(r.Files)*3/4]
	}
}

func (f recordFile) ask() ask {
	return ask{path: f.Path, version: f.Version, url: f.URL, sha256: f.SHA256, extract: f.Extract}
}

// records are those of the pods of one workload, by key.
type records map[string]record

// keyOf names a pod's key. No Kubernetes name has an underscore.
func keyOf(owner kube.Owner, pod string) string { return prefixOf(owner) + pod }

func prefixOf(owner kube.Owner) string { return owner.Kind + "_" + owner.Name + "_" }

// shardOf is the number of the ConfigMap that has a key.
func shardOf(key string) int {
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % shards)
}

// add takes from a ConfigMap's data the records of one workload; a key that is
// none is passed over.
func (rs records) add(data map[string]string, prefix string) {
	for key, value := range data {
		var r record
		if strings.HasPrefix(key, prefix) && json.Unmarshal([]byte(value), &r) == nil {
			rs[key] = r
		}
	}
}

// newest is, of each path, the file that was applied last in any of the pods.
func (rs records) newest() []ask {
	found := map[string]recordFile{}
	for _, key := range slices.Sorted(maps.Keys(rs)) {
		for _, f := range rs[key].Files {
			if old, ok := found[f.Path]; !ok || f.Time.After(old.Time) {
				found[f.Path] = f
			}
		}
	}
	var asks []ask
	for _, path := range slices.Sorted(maps.Keys(found)) {
		asks = append(asks, found[path].ask())
	}
	return asks
}

// dispensable are the keys, oldest first, that nobody misses once their pods are
// gone: not the newest, from which the next pod begins, and not yet those of
// pods that come back under the same name.
func (rs records) dispensable(owner kube.Owner, now time.Time) []string {
	keys := slices.SortedFunc(maps.Keys(rs), func(a, b string) int {
		if c := rs[a].Time.Compare(rs[b].Time); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	if len(keys) > 0 {
		keys = keys[:len(keys)-1]
	}
	keys = slices.DeleteFunc(keys, func(key string) bool {
		return ordinal(strings.TrimPrefix(key, prefixOf(owner)), owner.Name) && now.Sub(rs[key].Time) < goneFor
	})
	return keys[:min(len(keys), maxPruned)]
}

// ordinal tells whether a pod is one of those named after a number.
func ordinal(pod, workload string) bool {
	number, ok := strings.CutPrefix(pod, workload+"-")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// shard is the ConfigMap of a number: "results", "results-1" and so on.
func shard(base kube.ConfigMap, number int) kube.ConfigMap {
	if number > 0 {
		base.Name = fmt.Sprintf("%s-%d", base.Name, number)
	}
	return base
}
