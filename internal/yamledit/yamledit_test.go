package yamledit

import (
	"errors"
	"strings"
	"testing"
)

const service = `# What players reach.
apiVersion: v1
kind: Service
metadata: {name: game}   # not ours
---
`

const game = `apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata:
  # the game
  name:   game

spec:   # what runs
  # where
  target: {kind: Deployment,  name: game}

  suspend: false     # see the runbook
  containers:
  - name: main
    image: "game:v2"    # ünïcödé before
    reload: {signal: SIGHUP}

  # files follow
  files: [
    {path: a, version: v2},
  ]
`

func edit(t *testing.T, text string, f func(Document) ([]byte, error)) (string, error) {
	t.Helper()
	file, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	docs := file.Documents()
	out, err := f(docs[len(docs)-1])
	return string(out), err
}

// Only what was asked for is another byte.
func TestSet(t *testing.T) {
	for _, c := range []struct{ path, text, old, new string }{
		{"spec suspend", "true", "suspend: false     # see", "suspend: true     # see"},
		{"metadata annotations hotpatch.dev/promote", `"a@2"`, "metadata:\n", "metadata:\n  annotations:\n    hotpatch.dev/promote: \"a@2\"\n"},
		{"spec paused", "true", "spec:   # what runs\n", "spec:   # what runs\n  paused: true\n"},
		{"spec target namespace", "x", "{kind: Deployment,  name", "{namespace: x, kind: Deployment,  name"},
		{"spec target a b", `"x"`, "{kind: Deployment,  name", "{a: {b: \"x\"}, kind: Deployment,  name"},
		{"spec target kind", "StatefulSet", "kind: Deployment", "kind: StatefulSet"},
		{"metadata name", `'it''s'`, "name:   game", "name:   'it''s'"},
	} {
		for _, before := range []string{"", service} {
			got, err := edit(t, before+game, func(d Document) ([]byte, error) { return d.Set(c.text, strings.Fields(c.path)...) })
			if want := before + strings.Replace(game, c.old, c.new, 1); err != nil || got != want {
				t.Errorf("%s: %v, got\n%s", c.path, err, got)
			}
		}
	}
}

func TestSetReplacesQuotedTexts(t *testing.T) {
	for old, new := range map[string]string{
		`a: "x \" # y" # z`: `a: new # z`,
		`a: 'it''s' # z`:    `a: new # z`,
		`a: {b: 1}`:         "",
		`a: "x`:             "",
		"a: |\n  x\n":       "",
		"a:\n":              "",
		"- a\n":             "",
	} {
		file, err := Parse([]byte(old))
		if err != nil {
			continue
		}
		got, err := file.Documents()[0].Set("new", "a")
		if new == "" && !errors.Is(err, ErrLayout) || new != "" && string(got) != new {
			t.Errorf("%q became %q, %v", old, got, err)
		}
	}
}

// An entry is taken out and put back as it was, between its neighbours.
func TestEntries(t *testing.T) {
	containers := "  containers:\n  - name: main\n    image: \"game:v2\"    # ünïcödé before\n    reload: {signal: SIGHUP}\n"
	for _, c := range []struct{ path, want string }{
		{"spec containers", containers},
		{"spec files", "  files: [\n    {path: a, version: v2},\n  ]\n"},
		{"spec suspend", "  suspend: false     # see the runbook\n"},
		{"spec nothing", ""},
	} {
		for _, text := range []string{game, game + "---\nkind: Other\n"} {
			file, err := Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			d, path := file.Documents()[0], strings.Fields(c.path)
			if got, err := d.Entry(path...); err != nil || got != c.want {
				t.Errorf("%s: %v, got\n%s", c.path, err, got)
			}
			if same, err := d.SetEntry(c.want, path...); err != nil || string(same) != text {
				t.Errorf("%s: %v, put back:\n%s", c.path, err, same)
			}
			if without, err := d.SetEntry("", path...); err != nil || string(without) != strings.Replace(text, c.want, "", 1) {
				t.Errorf("%s: %v, taken out:\n%s", c.path, err, without)
			}
		}
	}
	deeper := "    containers:\n    - name: main\n      image: game:v1\n"
	got, err := edit(t, game, func(d Document) ([]byte, error) { return d.SetEntry(deeper, "spec", "containers") })
	if err != nil || !strings.Contains(got, "\n  containers:\n  - name: main\n    image: game:v1\n\n  # files follow\n") {
		t.Errorf("%v, got\n%s", err, got)
	}
	if _, err := edit(t, "spec: {containers: []}\n", func(d Document) ([]byte, error) { return d.SetEntry(deeper, "spec", "containers") }); !errors.Is(err, ErrLayout) {
		t.Errorf("a flow is edited by lines: %v", err)
	}
}

func TestSetStringInLists(t *testing.T) {
	const list = `spec:
  containers:   # two
  - image: "game:v1"   # the game
    name: main
  - {name: helper, image: helper:v1}

  files:
  - name: 'page'
    version: v1
`
	for _, c := range []struct {
		value string
		path  []string
		from  string
		to    string
	}{
		{"game:v2", []string{"spec", "containers", "[name=main]", "image"}, `"game:v1"`, `"game:v2"`},
		{"helper@sha256:12", []string{"spec", "containers", "[name=helper]", "image"}, "image: helper:v1", "image: helper@sha256:12"},
		{"it's", []string{"spec", "files", "[version=v1]", "name"}, "'page'", "'it''s'"},
		{"1.10", []string{"spec", "files", "[name=page]", "version"}, "version: v1", `version: "1.10"`},
		{"a, b", []string{"spec", "containers", "[name=helper]", "image"}, "image: helper:v1", `image: "a, b"`},
		{"http://a/b", []string{"spec", "files", "[name=page]", "url"}, "  - name: 'page'\n", "  - name: 'page'\n    url: http://a/b\n"},
		{"x", []string{"spec", "containers", "[name=helper]", "url"}, "{name: helper", "{url: x, name: helper"},
	} {
		got, err := edit(t, list, func(d Document) ([]byte, error) { return d.SetString(c.value, c.path...) })
		if want := strings.Replace(list, c.from, c.to, 1); err != nil || got != want {
			t.Errorf("%s at %v: %v\n%s", c.value, c.path, err, got)
		}
	}
	for _, path := range [][]string{{"spec", "containers", "[name=other]", "image"}, {"spec", "containers", "main", "image"}, {"spec", "[name=main]", "image"}} {
		if got, err := edit(t, list, func(d Document) ([]byte, error) { return d.SetString("x", path...) }); err == nil {
			t.Errorf("%v was made up:\n%s", path, got)
		}
	}
}
