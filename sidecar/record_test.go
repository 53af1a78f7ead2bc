package sidecar

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

var theGame = kube.Owner{Kind: "Deployment", Name: "game"}

func at(hours int) time.Time { return time.Unix(0, 0).UTC().Add(time.Duration(hours) * time.Hour) }

// A record tells what is in place, not what failed, and is bounded.
func TestRecordOfAPage(t *testing.T) {
	p := page{Files: map[string]entry{
		"a":       {ObservedFile: api.ObservedFile{Path: "a", Version: "v1", SHA256: "aa", Time: at(1)}, URL: "http://a"},
		"b":       {ObservedFile: api.ObservedFile{Path: "b", Version: "v2", SHA256: "bb", Time: at(2)}, URL: "http://b"},
		"strange": {ObservedFile: api.ObservedFile{Path: "strange", SHA256: "cc"}},
		"failed":  {ObservedFile: api.ObservedFile{Path: "failed", Version: "v9"}, URL: "http://c"},
	}}
	r := recordOf(p)
	if len(r.Files) != 2 || r.Files[0].Path != "b" || !r.Time.Equal(at(2)) {
		t.Errorf("%+v", r)
	}
	for i := range maxFiles {
		name := fmt.Sprint(i)
		p.Files[name] = entry{ObservedFile: api.ObservedFile{Path: name, Version: "v1", SHA256: "dd", Time: at(3)}, URL: "http://" + strings.Repeat("x", 3000)}
	}
	text := recordOf(p).String()
	var again record
	if err := json.Unmarshal([]byte(text), &again); err != nil || len(text) > maxRecord || len(again.Files) < 10 {
		t.Errorf("%d bytes, %d files, %v", len(text), len(again.Files), err)
	}
}

// Of each path the last one applied, in whichever pod: not the highest version,
// and nothing of other workloads.
func TestNewestOfAWorkload(t *testing.T) {
	rs := records{}
	rs.add(map[string]string{
		"Deployment_game_a":  `{"files":[{"path":"x","version":"v9","url":"u9","sha256":"9","time":"2026-01-01T00:00:00Z"},{"path":"y","version":"v1","url":"u1","time":"2026-01-01T00:00:00Z"}]}`,
		"Deployment_game_b":  `{"files":[{"path":"x","version":"v2","url":"u2","sha256":"2","time":"2026-01-02T00:00:00Z"}]}`,
		"Deployment_games_c": `{"files":[{"path":"x","version":"v3","url":"u3","sha256":"3","time":"2026-01-03T00:00:00Z"}]}`,
		"default-game-0":     "hot_update:\n    v1: u",
		"Deployment_game_d":  "no JSON",
	}, prefixOf(theGame))
	want := []ask{{path: "x", version: "v2", url: "u2", sha256: "2"}, {path: "y", version: "v1", url: "u1"}}
	if got := rs.newest(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// Whatever pods there were: the newest record is never given up, nor one of a
// pod that may come back soon, and never many at once.
func TestDispensable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := records{}
		for range rapid.IntRange(0, 60).Draw(t, "pods") {
			pod := rapid.SampledFrom([]string{"game-7", "game-12", "game-0", "game-5d9-x7k2p", "game-5d9-abcde", "other"}).Draw(t, "pod") + rapid.StringMatching(`[a-z]{0,2}`).Draw(t, "suffix")
			rs[keyOf(theGame, pod)] = record{Time: at(rapid.IntRange(0, 3000).Draw(t, "hour"))}
		}
		now := at(3000)
		newest := time.Time{}
		for r := range maps.Values(rs) {
			if r.Time.After(newest) {
				newest = r.Time
			}
		}
		left := maps.Clone(rs)
		for _, key := range rs.dispensable(theGame, now) {
			pod := strings.TrimPrefix(key, "Deployment_game_")
			if slices.Contains([]string{"game-7", "game-12", "game-0"}, pod) && now.Sub(rs[key].Time) < goneFor {
				t.Fatalf("%s may come back", key)
			}
			delete(left, key)
		}
		kept := slices.ContainsFunc(slices.Collect(maps.Values(left)), func(r record) bool { return r.Time.Equal(newest) })
		if len(rs) > 0 && !kept || len(rs)-len(left) > maxPruned {
			t.Fatalf("of %d left %v", len(rs), left)
		}
	})
}

func TestShards(t *testing.T) {
	count := map[kube.ConfigMap]int{}
	for i := range 4000 {
		count[shard(kube.ConfigMap{Namespace: "n", Name: "results"}, shardOf(keyOf(theGame, fmt.Sprintf("game-%d", i))))]++
	}
	for _, name := range []string{"results", "results-1", "results-2", "results-3"} {
		if got := count[kube.ConfigMap{Namespace: "n", Name: name}]; got < 500 {
			t.Errorf("%s has %d of 4000 pods", name, got)
		}
	}
}
