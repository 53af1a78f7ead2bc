package api

import (
	"strings"
	"testing"
)

const good = `
apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata: {name: game}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: game}
  containers:
  - name: main
    image: registry.example:5000/game:v2
    reload: {signal: SIGHUP, process: "nginx: master process nginx"}
  files:
  - {path: index.html, version: v2, from: files/index.html}
  rollout: {partition: "40%"}
`

func TestDecodeFillsInDefaults(t *testing.T) {
	h, err := Decode("game.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if h.Key() != "default/game" {
		t.Errorf("key %q", h.Key())
	}
	r := h.Spec.Rollout
	if r.Partition != Percent(40) || r.MaxConcurrent != Percent(25) || r.MaxUnavailable != Percent(25) {
		t.Errorf("rollout %+v", r)
	}
}

// Every error names the file, the object and the field, and says what to do.
func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"rollout: {partition", "rolout: {partition", "game.yaml: HotPatch game: spec.rolout: unknown field; see the JSON schema for what may stand here"},
		{`"40%"`, `"forty"`, `game.yaml: HotPatch default/game: spec.rollout.partition: want a number of pods, or "0%" to "100%", got "forty"`},
		{`"40%"`, `[1]`, `spec.rollout.partition: want a number of pods, or "0%" to "100%", got [1]`},
		{`"40%"`, `"140%"`, `game.yaml: HotPatch default/game: spec.rollout.partition: want a number of pods, or "0%" to "100%", got 140%`},
		{`"40%"}`, `0, maxConcurrent: many}`, `spec.rollout.maxConcurrent: want a number of pods`},
		{"path: index.html", "path: 7", "game.yaml: HotPatch game: spec.files.path: want a string, got number"},
		{"files:", "files: x\n  carry:", "game.yaml: HotPatch game: spec.files: want a list, got string"},
		{"target: {", "target: 3\n  rollout: {", "game.yaml: "},
		{"  - name: main\n", "  - name: main\n    name: main\n", `game.yaml: line 9: key "name" already set in map`},
		{`"40%"`, `-1`, "spec.rollout.partition: want a number of pods"},
		{`"40%"}`, `0, maxConcurrent: 0}`, "spec.rollout.maxConcurrent: with 0 nothing would ever change"},
		{`"40%"}`, `0, minReadySeconds: -1}`, "spec.rollout.minReadySeconds: want 0 to 86400, got -1"},
		{`"40%"}`, `0, minReadySeconds: 30s}`, "spec.rollout.minReadySeconds: want a number, got string"},
		{`"40%"}`, `0, onFailure: Retry}`, `spec.rollout.onFailure: want Pause or Rollback, got "Retry"`},
		{`"40%"}`, `0, failureThreshold: 0}`, "spec.rollout.failureThreshold: with 0 it would be reached before anything failed"},
		{`"40%"}`, `0, failureThreshold: 120%}`, `spec.rollout.failureThreshold: want a number of pods, or "0%" to "100%", got 120%`},
		{`"40%"}`, `0, progressDeadlineSeconds: -1}`, "spec.rollout.progressDeadlineSeconds: want 0 to 86400, got -1"},
		{`"40%"}`, `0, analysis: [{name: X, when: [pod], http: {port: 80}}]}`, `spec.rollout.analysis[0].name: want a lower case DNS name, got "X"`},
		{`"40%"}`, `0, analysis: [{name: a, when: [pod], http: {port: 80}}, {name: a, when: [pod], http: {port: 80}}]}`, `spec.rollout.analysis[1].name: "a" stands here twice`},
		{`"40%"}`, `0, analysis: [{name: a, http: {url: "http://x/"}}]}`, `spec.rollout.analysis[0].when: is missing: give some of before, between, after, pod`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after, often], http: {url: "http://x/"}}]}`, `spec.rollout.analysis[0].when[1]: want one of before, between, after, pod, got "often"`},
		{`"40%"}`, `0, analysis: [{name: a, when: [pod, after], http: {port: 80}}]}`, `spec.rollout.analysis[0].when: want [pod] alone: http.port is one of a pod`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], exec: {container: main, command: [x]}}]}`, `spec.rollout.analysis[0].when: want [pod] alone: exec is run in a pod`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], success: "true", kubernetes: {apiVersion: v1, kind: Pod, name: $(POD_NAME)}}]}`, `when: want [pod] alone: $(POD_NAME) is the name of a pod`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after]}]}`, `spec.rollout.analysis[0]: give one of http, prometheus, exec and kubernetes`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], prometheus: {address: "http://p", query: up}}]}`, `spec.rollout.analysis[0]: give success or failure`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], success: "true", prometheus: {address: "p:9090", query: up}}]}`, `spec.rollout.analysis[0].prometheus.address: want an http or https URL`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], http: {url: "http://me:secret@x/"}}]}`, `spec.rollout.analysis[0].http.url: must not hold credentials`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], http: {url: "http://x/", body: x}}]}`, `spec.rollout.analysis[0].http.body: is posted, but the method is not POST`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], timeout: 2m, http: {url: "http://x/"}}]}`, `spec.rollout.analysis[0].timeout: want 1s to 1m0s, such as 30s, got "2m"`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], interval: 100ms, http: {url: "http://x/"}}]}`, `spec.rollout.analysis[0].interval: want 1s to 1h0m0s, such as 30s, got "100ms"`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], failureLimit: 1, http: {url: "http://x/"}}]}`, `spec.rollout.analysis[0].failureLimit: want less than count 1, or nothing could fail, got 1`},
		{`"40%"}`, `0, analysis: [{name: a, when: [after], kubernetes: {apiVersion: v1, kind: Secret, name: x}, success: "true"}]}`, `spec.rollout.analysis[0].kubernetes.kind: no Secret is read`},
		{`"40%"}`, `0, order: [oldest, biggest]}`, `spec.rollout.order[1]: want one of priority, ordinal, ordinal-ascending, oldest, newest, node-spread, zone-spread, got "biggest"`},
		{`"40%"}`, `0, order: [oldest, oldest]}`, `spec.rollout.order[1]: "oldest" stands here twice`},
		{`"40%"}`, `0, order: oldest}`, `spec.rollout.order: want a list, got string`},
		{`"40%"}`, `0, steps: [{partition: 3, pause: {}}]}`, `spec.rollout.steps[0]: give one of partition, pause and analysis`},
		{`"40%"}`, `0, steps: [{partition: 3}, {pause: }]}`, `spec.rollout.steps[1]: give one of partition, pause and analysis`},
		{`"40%"}`, `0, steps: [{partition: many}]}`, `spec.rollout.steps[0].partition: want a number of pods, or "0%" to "100%", got "many"`},
		{`"40%"}`, `0, steps: [{partition: 3}, {pause: {}}, {partition: 4}]}`, `spec.rollout.steps[2].partition: 4 would hold more pods than the 3 of an earlier step; steps only let more pods go`},
		{`"40%"}`, `"40%", steps: [{partition: "80%"}, {partition: "20%"}]}`, `spec.rollout.steps[1].partition: 20% would hold fewer pods than the rollout's partition 40%, which holds to the end`},
		{`"40%"}`, `0, steps: [{pause: {duration: 10}}]}`, `spec.rollout.steps.pause.duration: want a string, got number`},
		{`"40%"}`, `0, steps: [{pause: {duration: forever}}]}`, `spec.rollout.steps[0].pause.duration: want 1s to 168h, such as 10m; leave it out to wait for a person; got "forever"`},
		{`"40%"}`, `0, steps: [{pause: {duraton: 10m}}]}`, `spec.rollout.steps[0].pause.duraton: unknown field`},
		{`"40%"}`, `0, steps: [{pause: {}, analysis: {name: a, http: {url: "http://x/"}}}]}`, `spec.rollout.steps[0]: give one of partition, pause and analysis`},
		{`"40%"}`, `0, steps: [{analysis: {http: {url: "http://x/"}}}]}`, `spec.rollout.steps[0].analysis.name: want a lower case DNS name, got ""`},
		{`"40%"}`, `0, steps: [{analysis: {name: a, when: [after], http: {url: "http://x/"}}}]}`, `spec.rollout.steps[0].analysis.when: does not belong here`},
		{`"40%"}`, `0, steps: [{analysis: {name: a, http: {port: 80}}}]}`, `spec.rollout.steps[0].analysis: http.port is one of a pod, and a step is measured for all of them`},
		{`"40%"}`, `0, steps: [{analysis: {name: a}}]}`, `spec.rollout.steps[0].analysis: give one of http, prometheus, exec and kubernetes`},
		{`"40%"}`, `0, steps: [{setWeight: 20}]}`, `spec.rollout.steps[0].setWeight: unknown field`},
		{"{name: game}", `{name: game, annotations: {hotpatch.dev/promote: "yes"}}`, `metadata.annotations[hotpatch.dev/promote]: want REVISION@STEP such as 15c15eb634@2, or REVISION@full, got "yes"`},
		{"{name: game}", `{name: game, annotations: {hotpatch.dev/promote: "15c15eb634@0"}}`, `metadata.annotations[hotpatch.dev/promote]: want REVISION@STEP`},
		{`"40%"}`, `0, window: {schedule: "0 22 * *", duration: 4h}}`, `spec.rollout.window.schedule: want five cron fields such as "0 22 * * 1-5", got "0 22 * *"`},
		{`"40%"}`, `0, window: {schedule: "@every 5h", duration: 4h}}`, `spec.rollout.window.schedule: want five cron fields`},
		{`"40%"}`, `0, window: {schedule: "CRON_TZ=Europe/Berlin 0 22 * * *", duration: 4h}}`, `spec.rollout.window.schedule: want five cron fields`},
		{`"40%"}`, `0, window: {schedule: "TZ=UTC", duration: 4h}}`, `spec.rollout.window.schedule: want five cron fields`},
		{`"40%"}`, `0, window: {schedule: "0 0 31 2 *", duration: 4h}}`, `spec.rollout.window.schedule: "0 0 31 2 *" never comes`},
		{`"40%"}`, `0, window: {schedule: "@daily", duration: 4}}`, `spec.rollout.window: want schedule, duration and timeZone, or a list of such`},
		{`"40%"}`, `0, window: {schedule: "@daily", duration: 200h}}`, `spec.rollout.window.duration: want 1m to 168h, such as 4h or 90m, got "200h"`},
		{`"40%"}`, `0, window: [{schedule: "@daily", duration: 4h}, {schedule: "@daily", duration: 4h, timeZone: Berlin}]}`, `spec.rollout.window[1].timeZone: want an IANA name such as Europe/Berlin, got "Berlin"`},
		{`"40%"}`, `0, window: {schedule: "@daily", lasts: 4h}}`, `spec.rollout.window: unknown field "lasts"; a window has schedule, duration and timeZone`},
		{`"40%"}`, `0, window: []}`, `spec.rollout.window: is an empty list`},
		{`"40%"}`, `0, window: nightly}`, `spec.rollout.window: want schedule, duration and timeZone, or a list of such`},
		{"game:v2", "Game v2", `spec.containers[0].image: want an image such as registry.example/game:v2, got "registry.example:5000/Game v2"`},
		{"SIGHUP", "HANGUP", `spec.containers[0].reload.signal: want a signal by name such as SIGHUP, got "HANGUP"`},
		{"signal: SIGHUP,", "", "spec.containers[0].reload: give one of signal, exec and http"},
		{"signal: SIGHUP,", "signal: SIGHUP, http: {path: /x, port: 1},", "spec.containers[0].reload: give one of signal, exec and http"},
		{"signal: SIGHUP,", "timeoutSeconds: 601, signal: SIGHUP,", "spec.containers[0].reload.timeoutSeconds: want 1 to 600, got 601"},
		{"signal: SIGHUP,", "require: OldBinary, signal: SIGHUP,", `spec.containers[0].reload.require: want NewBinary, got "OldBinary"`},
		{`signal: SIGHUP, process: "nginx: master process nginx"`, "http: {method: PUT, path: /x, port: 1}", `spec.containers[0].reload.http.method: want GET or POST, got "PUT"`},
		{`signal: SIGHUP, process: "nginx: master process nginx"`, "http: {path: x, port: 1}", `spec.containers[0].reload.http.path: want a path that begins with /, got "x"`},
		{`signal: SIGHUP, process: "nginx: master process nginx"`, "http: {path: /x, port: 70000}", "spec.containers[0].reload.http.port: want a port, got 70000"},
		{"  - name: main\n", "  - name: main\n    imageConfig: Ignore\n", `spec.containers[0].imageConfig: want Warn or Refuse, got "Ignore"`},
		{"path: index.html", "path: ../index.html", `spec.files[0].path: want a path below the sidecar's directory`},
		{"version: v2", "version: latest", "spec.files[0].version: want v1, v1.2 or the like"},
		{"from: files/index.html", "url: \"http://user:secret@x/y\"", "spec.files[0].url: must not hold credentials"},
		{"from: files/index.html", "url: \"http://x/y\"", "spec.files[0].sha256: is needed with url"},
		{"kind: Deployment, ", "", "spec.target.kind: is missing"},
		{"metadata: {name: game}", "metadata: {name: Game}", "metadata.name: want a lower case DNS name"},
		{"  - name: main\n", "  - name: main\n    carry: [/proc/x]\n", `spec.containers[0].carry[0]: want "all", or an absolute path`},
		{"  - name: main\n", "  - name: main\n    carry: [all, everything]\n", `spec.containers[0].carry[1]: want "all", or an absolute path outside /proc, /sys and /dev, got "everything"`},
		{"  rollout:", "  suspend: later\n  rollout:", "spec.suspend: want true or false, got string"},
		{`"40%"}`, `0, protect: [{values: [Allocated]}]}`, "spec.rollout.protect[0]: give either a label or an annotation, by name"},
		{`"40%"}`, `0, protect: [{label: a, annotation: b}]}`, "spec.rollout.protect[0]: give either a label or an annotation, by name"},
		{`"40%"}`, `0, protect: [{label: a}, {label: "game state"}]}`, `spec.rollout.protect[1].label: want a label's name such as game.kruise.io/gs-opsState, got "game state"`},
		{`"40%"}`, `0, protect: [{annotation: /match}]}`, `spec.rollout.protect[0].annotation: want an annotation's name such as example.org/match, got "/match"`},
		{`"40%"}`, `0, protect: [{label: a, deadline: soon}]}`, `spec.rollout.protect[0].deadline: want 1s to 720h, such as 30m, got "soon"`},
		{`"40%"}`, `0, protect: [{label: a, deadline: 721h}]}`, `spec.rollout.protect[0].deadline: want 1s to 720h`},
		{`"40%"}`, `0, protect: [{label: a, value: b}]}`, `spec.rollout.protect[0].value: unknown field`},
		{"  rollout:", "  dependsOn: [game]\n  rollout:", "game.yaml: HotPatch default/game: spec.dependsOn[0]: a HotPatch cannot wait for itself"},
		{"  rollout:", "  dependsOn: [db, default/db]\n  rollout:", `spec.dependsOn[1]: "default/db" stands here twice`},
		{"  rollout:", "  dependsOn: [a/b/c]\n  rollout:", `spec.dependsOn[0]: want the name of a HotPatch, or namespace/name, got "a/b/c"`},
		{"kind: HotPatch", "kind: HotPatch\nkind: HotPatch", "game.yaml: "},
	} {
		doc := strings.Replace(good, c.old, c.new, 1)
		if doc == good {
			t.Fatalf("%q does not stand in the good document", c.old)
		}
		_, err := Decode("game.yaml", []byte(doc))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s:\n got %v\nwant …%s", c.old, c.new, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("error tells a secret: %v", err)
		}
	}
}

func TestStatusReadsWhatItWrote(t *testing.T) {
	in := HotPatchStatus{Metadata: Metadata{Name: "game", Namespace: "default"}, Cluster: "box", Phase: PhasePaused,
		Counts: Counts{Desired: 5, Updated: 5, Total: 8}, Stable: &StableRevision{Revision: "abc"}}
	doc, err := EncodeStatus(in)
	if err != nil {
		t.Fatal(err)
	}
	out, err := DecodeStatus("f", doc)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := EncodeStatus(out)
	if string(again) != string(doc) {
		t.Errorf("got\n%s\nwant\n%s", again, doc)
	}
}

func TestIntOrPercentRounding(t *testing.T) {
	for _, c := range []struct {
		v              IntOrPercent
		total, up, low int
	}{{Percent(25), 8, 2, 2}, {Percent(40), 8, 4, 3}, {Percent(1), 8, 1, 0}, {Count(3), 8, 3, 3}, {Count(10), 8, 8, 8}, {Percent(100), 3, 3, 3}} {
		if up, low := c.v.Of(c.total), c.v.OfRoundedDown(c.total); up != c.up || low != c.low {
			t.Errorf("%s of %d: %d, %d", c.v, c.total, up, low)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, doc []byte) {
		h, err := Decode("f", doc)
		if err == nil && h.Metadata.Name == "" {
			t.Error("accepted a HotPatch without a name")
		}
	})
}
