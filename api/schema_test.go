package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the schemas from the types")

// The schemas that are shipped are those that the types give.
func TestSchemasAreFresh(t *testing.T) {
	isFresh(t, KindHotPatch, "schema.json", generate(t))
	isFresh(t, KindSuspension, "suspension.schema.json", generateSuspension(t))
}

func isFresh(t *testing.T, kind, file string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(kind), want) {
		t.Errorf("%s is not what the types say; run: go test ./api -run Schema -update", file)
	}
}

// What the schema refuses, Decode refuses too, and the other way round for
// whatever a schema can say.
func TestSchemaAgreesWithDecode(t *testing.T) {
	agrees := agreement(t, generate(t), good, func(doc []byte) error { _, err := Decode("f", doc); return err })
	for _, edit := range []struct {
		name, old, new string
		ok             bool
	}{
		{"as it is", "", "", true},
		{"a number", `"40%"`, "3", true},
		{"a file by URL", "from: files/index.html", "url: 'https://x/y', sha256: " + strings.Repeat("a", 64), true},
		{"nobody is told", `    reload: {signal: SIGHUP, process: "nginx: master process nginx"}`, "", true},
		{"a command", "signal: SIGHUP, process: \"nginx: master process nginx\"", "exec: [/reload]", true},
		{"a request", "signal: SIGHUP, process: \"nginx: master process nginx\"", "http: {path: /x, port: 80}, timeoutSeconds: 3, require: NewBinary", true},
		{"a request to no port", "signal: SIGHUP, process: \"nginx: master process nginx\"", "http: {path: /x}", false},
		{"a request without a path", "signal: SIGHUP, process: \"nginx: master process nginx\"", "http: {path: x, port: 80}", false},
		{"a strange method", "signal: SIGHUP, process: \"nginx: master process nginx\"", "http: {path: /x, port: 80, method: PUT}", false},
		{"too long", "signal: SIGHUP,", "signal: SIGHUP, timeoutSeconds: 601,", false},
		{"no such requirement", "signal: SIGHUP,", "signal: SIGHUP, require: Luck,", false},
		{"differences are refused", "  - name: main\n", "  - name: main\n    imageConfig: Refuse\n", true},
		{"no such policy", "  - name: main\n", "  - name: main\n    imageConfig: Ignore\n", false},
		{"a selector", "apiVersion: apps/v1, kind: Deployment, name: game", "selector: {matchLabels: {app: x}}", true},
		{"suspended", "  rollout:", "  suspend: true\n  rollout:", true},
		{"suspended in words", "  rollout:", "  suspend: 'true'\n  rollout:", false},
		{"proven pods", `"40%"`, "0, minReadySeconds: 30", true},
		{"longer than a day", `"40%"`, "0, minReadySeconds: 86401", false},
		{"an order", `"40%"`, "0, order: [zone-spread, oldest]", true},
		{"a strange order", `"40%"`, "0, order: [alphabetical]", false},
		{"twice the same", `"40%"`, "0, order: [oldest, oldest]", false},
		{"a rollback", `"40%"`, "0, onFailure: Rollback, failureThreshold: 10%, progressDeadlineSeconds: 60", true},
		{"no such policy for failures", `"40%"`, "0, onFailure: Retry", false},
		{"a threshold in words", `"40%"`, "0, failureThreshold: few", false},
		{"a deadline of more than a day", `"40%"`, "0, progressDeadlineSeconds: 86401", false},
		{"an analysis", `"40%"`, "0, analysis: [{name: errors, when: [before, between], prometheus: {address: 'http://p:9090', query: up}, success: 'result[0] == 1', interval: 30s, count: 3, failureLimit: 1}]", true},
		{"the pod's own port", `"40%"`, "0, analysis: [{name: smoke, when: [pod], http: {port: 80, path: /x}}]", true},
		{"an analysis of nothing", `"40%"`, "0, analysis: [{name: smoke, when: [pod]}]", false},
		{"an analysis of two things", `"40%"`, "0, analysis: [{name: smoke, when: [pod], http: {port: 80}, exec: {container: main, command: [x]}}]", false},
		{"an analysis never", `"40%"`, "0, analysis: [{name: smoke, when: [], http: {url: 'http://x/'}}]", false},
		{"an analysis sometimes", `"40%"`, "0, analysis: [{name: smoke, when: [often], http: {url: 'http://x/'}}]", false},
		{"a request to a port and a URL", `"40%"`, "0, analysis: [{name: smoke, when: [pod], http: {port: 80, url: 'http://x/'}}]", false},
		{"credentials", `"40%"`, "0, analysis: [{name: smoke, when: [after], http: {url: 'http://x/', credentials: stats}}]", true},
		{"credentials for a pod", `"40%"`, "0, analysis: [{name: smoke, when: [pod], http: {port: 80, credentials: stats}}]", false},
		{"credentials by a path", `"40%"`, "0, analysis: [{name: smoke, when: [after], http: {url: 'http://x/', credentials: ../stats}}]", false},
		{"an interval without a unit", `"40%"`, "0, analysis: [{name: smoke, when: [after], interval: '5', http: {url: 'http://x/'}}]", false},
		{"a Secret", `"40%"`, "0, analysis: [{name: smoke, when: [after], success: 'true', kubernetes: {apiVersion: v1, kind: Secret, name: x}}]", false},
		{"steps", `"40%"`, "0, steps: [{partition: 75%}, {pause: {}}, {partition: 3}, {pause: {duration: 1h30m}}]", true},
		{"a step that measures", `"40%"`, "0, steps: [{partition: 3}, {analysis: {name: errors, http: {url: 'http://x/'}, success: 'result < 3', count: 3}}]", true},
		{"a step that measures at times", `"40%"`, "0, steps: [{analysis: {name: errors, when: [after], http: {url: 'http://x/'}}}]", false},
		{"a step that measures a pod", `"40%"`, "0, steps: [{analysis: {name: errors, http: {port: 80}}}]", false},
		{"a step that runs something", `"40%"`, "0, steps: [{analysis: {name: errors, exec: {container: main, command: [x]}}}]", false},
		{"a step that measures nothing", `"40%"`, "0, steps: [{analysis: {name: errors}}]", false},
		{"a step of two kinds", `"40%"`, "0, steps: [{partition: 3, pause: {}}]", false},
		{"a step of no kind", `"40%"`, "0, steps: [{}]", false},
		{"a step of another kind", `"40%"`, "0, steps: [{setWeight: 20}]", false},
		{"a pause without a unit", `"40%"`, "0, steps: [{pause: {duration: '10'}}]", false},
		{"a window", `"40%"`, "0, window: {schedule: '0 22 * * 1-5', duration: 4h, timeZone: Europe/Berlin}", true},
		{"two windows", `"40%"`, "0, window: [{schedule: '@daily', duration: 4h}, {schedule: '@weekly', duration: 1h30m}]", true},
		{"a window without an end", `"40%"`, "0, window: {schedule: '@daily'}", false},
		{"a number without a unit", `"40%"`, "0, window: {schedule: '@daily', duration: '4'}", false},
		{"no window at all", `"40%"`, "0, window: []", false},
		{"a window with a typo", `"40%"`, "0, window: {schedule: '@daily', duratoin: 4h}", false},
		{"protected pods", `"40%"`, "0, protect: [{label: game.kruise.io/gs-opsState, values: [Allocated], deadline: 30m}, {annotation: example.org/match}]", true},
		{"protected by nothing", `"40%"`, "0, protect: [{values: [Allocated]}]", false},
		{"protected by both", `"40%"`, "0, protect: [{label: a, annotation: b}]", false},
		{"a bad label", `"40%"`, "0, protect: [{label: a/b/c}]", false},
		{"a deadline without a unit", `"40%"`, "0, protect: [{label: a, deadline: '30'}]", false},
		{"others first", "  rollout:", "  dependsOn: [db, prod/cache]\n  rollout:", true},
		{"twice the same other", "  rollout:", "  dependsOn: [db, db]\n  rollout:", false},
		{"others by a path", "  rollout:", "  dependsOn: [a/b/c]\n  rollout:", false},
		{"unknown field", "rollout:", "rolout:", false},
		{"words for a number", `"40%"`, "many", false},
		{"below zero", `"40%"`, "-1", false},
		{"no version", "version: v2, ", "", false},
		{"bad version", "version: v2", "version: latest", false},
		{"no source", ", from: files/index.html", "", false},
		{"two sources", "from: files/index.html", "from: x, url: 'http://x/y', sha256: " + strings.Repeat("a", 64), false},
		{"URL without digest", "from: files/index.html", "url: 'http://x/y'", false},
		{"signal and command", "signal: SIGHUP, ", "signal: SIGHUP, exec: [/x], ", false},
		{"unknown signal", "SIGHUP", "HUP", false},
		{"bad image", "game:v2", "Game v2", false},
		{"nothing asked for", good[strings.Index(good, "  containers:"):], "", false},
		{"target by halves", "kind: Deployment, ", "", false},
		{"other kind", "kind: HotPatch\n", "kind: HotPath\n", false},
		{"capital name", "{name: game}", "{name: Game}", false},
	} {
		t.Run(edit.name, func(t *testing.T) { agrees(t, edit.old, edit.new, edit.ok) })
	}
}

// agreement holds a schema and a decoder to the same judgement of a document with
// one change.
func agreement(t *testing.T, schema []byte, document string, decode func([]byte) error) func(t *testing.T, before, after string, ok bool) {
	t.Helper()
	var s spec.Schema
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	validator := validate.NewSchemaValidator(&s, nil, "", strfmt.Default)
	return func(t *testing.T, before, after string, ok bool) {
		t.Helper()
		doc := strings.Replace(document, before, after, 1)
		err := decode([]byte(doc))
		var v any
		if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatal(err)
		}
		result := validator.Validate(v)
		if (err == nil) != ok || result.IsValid() != ok {
			t.Errorf("want accepted: %t\nDecode: %v\nschema: %v\n%s", ok, err, result.Errors, doc)
		}
	}
}

// durationPattern is what people write: 4h, 1h30m.
const durationPattern = `^([0-9]+(\.[0-9]+)?(h|m|s))+$`

// generate makes the schema of a HotPatch as a person writes one.
func generate(t *testing.T) []byte {
	t.Helper()
	r := reflector(t)
	window := r.Reflect(Window{})
	window.Version = ""
	at(window, "duration").Pattern = durationPattern
	r.Mapper = func(t reflect.Type) *jsonschema.Schema { return mapped(t, window) }
	s := r.Reflect(HotPatch{})
	s.ID = "https://hotpatch.dev/schema/v1alpha1/hotpatch.json"
	tellRules(s)
	return written(t, s)
}

func reflector(t *testing.T) *jsonschema.Reflector {
	t.Helper()
	r := &jsonschema.Reflector{DoNotReference: true, Anonymous: true}
	if err := r.AddGoComments("hotpatch.dev/hotpatch/api", "./", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	return r
}

func written(t *testing.T, s *jsonschema.Schema) []byte {
	t.Helper()
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// mapped are the types that stand for more than one.
func mapped(t reflect.Type, window *jsonschema.Schema) *jsonschema.Schema {
	one := uint64(1)
	switch t {
	case reflect.TypeFor[IntOrPercent]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "0"},
			{Type: "string", Pattern: `^(\d|[1-9]\d|100)%$`},
		}}
	case reflect.TypeFor[Windows]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{window, {Type: "array", Items: window, MinItems: &one}}}
	}
	return nil
}

// tellRules adds what types cannot say, by the patterns of Validate.
func tellRules(s *jsonschema.Schema) {
	at(s, "apiVersion").Enum = []any{APIVersion}
	at(s, "kind").Enum = []any{KindHotPatch}
	for path, pattern := range map[string]*regexp.Regexp{
		"metadata.name": namePattern, "metadata.namespace": namePattern, "spec.target.name": namePattern,
		"spec.containers.image": imagePattern, "spec.containers.reload.signal": signalPattern,
		"spec.files.version": versionPattern, "spec.files.sha256": digestPattern,
	} {
		at(s, path).Pattern = pattern.String()
	}
	at(s, "spec").AnyOf = given([]string{"containers"}, []string{"files"})
	at(s, "spec.target").OneOf = given([]string{"selector"}, []string{"apiVersion", "kind", "name"})
	at(s, "spec.containers.reload").OneOf = given([]string{"signal"}, []string{"exec"}, []string{"http"})
	at(s, "spec.containers.reload.timeoutSeconds").Minimum, at(s, "spec.containers.reload.timeoutSeconds").Maximum = "0", "600"
	at(s, "spec.containers.reload.require").Enum = []any{RequireNewBinary}
	at(s, "spec.containers.reload.http.method").Enum = []any{"GET", "POST"}
	at(s, "spec.containers.reload.http.path").Pattern = "^/"
	at(s, "spec.containers.reload.http.port").Minimum, at(s, "spec.containers.reload.http.port").Maximum = "1", "65535"
	at(s, "spec.containers.imageConfig").Enum = []any{ImageConfigWarn, ImageConfigRefuse}
	at(s, "spec.rollout.minReadySeconds").Minimum, at(s, "spec.rollout.minReadySeconds").Maximum = "0", json.Number(strconv.Itoa(maxMinReady))
	at(s, "spec.rollout.progressDeadlineSeconds").Minimum, at(s, "spec.rollout.progressDeadlineSeconds").Maximum = "0", json.Number(strconv.Itoa(maxMinReady))
	at(s, "spec.rollout.onFailure").Enum = []any{FailurePause, FailureRollback}
	order, _ := at(s, "spec.rollout").Properties.Get("order")
	order.UniqueItems = true
	for _, key := range sortKeys {
		order.Items.Enum = append(order.Items.Enum, key)
	}
	tellAnalysis(at(s, "spec.rollout.analysis"))
	at(s, "spec.rollout.analysis").Required = append(at(s, "spec.rollout.analysis").Required, "when")
	at(s, "spec.rollout.protect").OneOf = given([]string{"label"}, []string{"annotation"})
	at(s, "spec.rollout.protect.label").Pattern, at(s, "spec.rollout.protect.annotation").Pattern = qualifiedPattern.String(), qualifiedPattern.String()
	at(s, "spec.rollout.protect.deadline").Pattern = durationPattern
	dependsOn, _ := at(s, "spec").Properties.Get("dependsOn")
	dependsOn.UniqueItems = true
	name := strings.Trim(namePattern.String(), "^$")
	dependsOn.Items.Pattern = "^(" + name + "/)?" + name + "$"
	at(s, "spec.rollout.steps").OneOf = given([]string{"partition"}, []string{"pause"}, []string{"analysis"})
	tellAnalysis(at(s, "spec.rollout.steps.analysis"))
	ofNoPod(at(s, "spec.rollout.steps.analysis"))
	at(s, "spec.rollout.steps.pause.duration").Pattern = durationPattern
	at(s, "spec.files").OneOf = given([]string{"from"}, []string{"url", "sha256"})
}

func tellAnalysis(s *jsonschema.Schema) {
	s.OneOf = given([]string{"http"}, []string{"prometheus"}, []string{"exec"}, []string{"kubernetes"})
	at(s, "name").Pattern = namePattern.String()
	when, _ := s.Properties.Get("when")
	one := uint64(1)
	when.UniqueItems, when.MinItems = true, &one
	for _, m := range moments {
		when.Items.Enum = append(when.Items.Enum, m)
	}
	for _, field := range []string{"interval", "timeout"} {
		at(s, field).Pattern = `^([0-9]+(\.[0-9]+)?(h|m|s))+$`
	}
	for field, most := range map[string]int{"count": maxCount, "failureLimit": maxCount - 1, "inconclusiveLimit": maxCount - 1} {
		at(s, field).Minimum, at(s, field).Maximum = "0", json.Number(strconv.Itoa(most))
	}
	at(s, "http").OneOf = given([]string{"url"}, []string{"port"})
	at(s, "http.method").Enum = []any{"GET", "POST"}
	at(s, "http.path").Pattern = "^/"
	at(s, "http.credentials").Pattern, at(s, "prometheus.credentials").Pattern = namePattern.String(), namePattern.String()
	at(s, "http").Not = &jsonschema.Schema{Required: []string{"port", "credentials"}}
	at(s, "http.port").Minimum, at(s, "http.port").Maximum = "1", "65535"
	at(s, "kubernetes.kind").Not = &jsonschema.Schema{Enum: []any{"Secret"}}
}

// ofNoPod takes away what only an analysis of a pod has, or one that is no step.
func ofNoPod(s *jsonschema.Schema) {
	s.Properties.Delete("when")
	s.Properties.Delete("exec")
	s.OneOf = given([]string{"http"}, []string{"prometheus"}, []string{"kubernetes"})
	at(s, "http").Properties.Delete("port")
	at(s, "http").Properties.Delete("path")
	at(s, "http").OneOf, at(s, "http").Not = given([]string{"url"}), nil
}

func given(alternatives ...[]string) []*jsonschema.Schema {
	var out []*jsonschema.Schema
	for _, fields := range alternatives {
		out = append(out, &jsonschema.Schema{Required: fields})
	}
	return out
}

// at finds the schema of a field; of a list it is that of an item.
func at(s *jsonschema.Schema, path string) *jsonschema.Schema {
	for field := range strings.SplitSeq(path, ".") {
		s, _ = s.Properties.Get(field)
		if s.Items != nil {
			s = s.Items
		}
	}
	return s
}
