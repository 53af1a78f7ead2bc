package reconciler

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/kube"
)

func templateOf(t *testing.T, text string) (*messageTemplate, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return readTemplate(t.Context(), file)
}

func TestTemplatesWordCommits(t *testing.T) {
	two := results(testStatus("a", 5), testStatus("b", 8))
	for text, want := range map[string][2]string{
		"{{subject}}":                       {"a: subject; b: subject; old: removed from Git, its 8 pods stay as they are", ""},
		"\n [{{cluster}}] hotpatch\r\n\n\n": {"[box] hotpatch", ""},
		"chore({{cluster}}): {{size(changes)}} changes\n\n{{changes.map(c, '- ' + c.namespace + '/' + c.name + (c.removed ? ' gone' : ' ' + string(c.status.counts.updated) + '/' + string(c.status.counts.total) + ' by ' + c.status.source.commit)).join('\\n')}}": {"chore(box): 3 changes", "- default/a 5/8 by c1\n- default/b 8/8 by c1\n- default/old gone"},
		`{{changes.map(c, c.status.?stable.?revision.orValue("none") + " of " + c.status.source.commit.substring(0, 1) + (has(c.status.message) ? c.status.message : "")).join(" ")}}`:                                                                               {"none of c none of c none of c", ""},
		"bad\x00\x1b[31m \xff":       {"bad[31m �", ""},
		strings.Repeat("long ", 100): {shorten(strings.TrimSpace(strings.Repeat("long ", 100)), maxTemplateSubject), ""},
	} {
		template, err := templateOf(t, text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		r := &recorder{cluster: "box", template: template}
		change, _, err := r.change(t.Context(), writtenBefore(testStatus("old", 1)), two)
		if err != nil || change.Subject != want[0] || change.Body != want[1] {
			t.Errorf("%q: %q, %q, %v; want %q", text, change.Subject, change.Body, err, want)
		}
		if !slices.Equal(change.Trailers, [][2]string{{"Source-Commit", "c1"}, {"Revision", "r2"}, {"Cluster", "box"}}) {
			t.Errorf("%q: trailers %v", text, change.Trailers)
		}
		if len(change.Subject) > maxTemplateSubject {
			t.Errorf("a subject of %d bytes", len(change.Subject))
		}
	}
}

// The one in docs/git.md.
func TestTheDocumentedTemplateIsGood(t *testing.T) {
	docs, err := os.ReadFile("../docs/git.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(docs), "its first line is the subject.\n\n```\n")
	text, _, found := strings.Cut(text, "```")
	m, err := templateOf(t, text)
	if err != nil || !found {
		t.Fatalf("%q: %v", text, err)
	}
	subject, body, err := m.words(t.Context(), samples()[3])
	if err != nil || !strings.HasPrefix(subject, "chore(prod): game: 2 of 5 on v2; lobby: no space") || body != "- default/game is Progressing, 2 of 8\n- default/lobby is Degraded, 2 of 8\n- default/game is removed" {
		t.Errorf("%q, %q, %v", subject, body, err)
	}
}

func TestBadTemplatesAreRefusedAtTheStart(t *testing.T) {
	for text, want := range map[string]string{
		"{{subject":                            "{{ without }}",
		"{{author}}":                           "undeclared reference to 'author'",
		"{{changes.map(c, c.who).join(', ')}}": "no such key: who",
		"x {{changes.map(c, c.status.stable.revision).join(', ')}}":       "no such key: stable", // where nothing was before
		"x {{changes.map(c, c.removed ? c.status.gone : '').join(', ')}}": "no such key: gone",   // on some night
		"{{changes[1].name}}":              "index out of bounds: 1", // of one
		" \n ":                             "it says nothing",
		"{{changes}}":                      "it gives a list; want a text",
		strings.Repeat("x", maxTemplate+1): "has more than 65536 bytes",
	} {
		if m, err := templateOf(t, text); err == nil || m != nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "--message-template-file: ") {
			t.Errorf("%.60q: %v; want %s", text, err, want)
		}
	}
	if _, err := readTemplate(t.Context(), "/nowhere/message"); err == nil || !strings.Contains(err.Error(), "/nowhere/message") {
		t.Errorf("no such file: %v", err)
	}
	if m, err := readTemplate(t.Context(), ""); m != nil || err != nil {
		t.Errorf("none: %v, %v", m, err)
	}
}

// What no sample has may still come, and the record does not wait for the template.
func TestATemplateThatFailsLaterIsLeftOut(t *testing.T) {
	many := "[" + strings.Repeat("0,", 1000) + "0]"
	deep := many + ".all(a, " + many + ".all(b, " + many + ".all(c, a + b + c == 0)))"
	template, err := templateOf(t, "{{changes.map(c, c.name == 'odd' ? c.status.pods[7].name : c.name == 'long' ? string("+deep+") : 'fine').join(' ')}}")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	entry, err := logging.New(&log, "text", "info")
	if err != nil {
		t.Fatal(err)
	}
	ctx := logging.Into(context.Background(), entry)
	r := &recorder{cluster: "box", template: template}
	for name, want := range map[string]string{"even": "fine", "odd": "odd: subject", "long": "long: subject"} {
		change, _, err := r.change(ctx, writtenBefore(), results(testStatus(name, 1)))
		if err != nil || change.Subject != want || len(change.Files) != 1 || len(change.Trailers) != 3 {
			t.Errorf("%s: %q, %v, %v", name, change.Subject, change.Trailers, err)
		}
	}
	if said := log.String(); strings.Count(said, "--message-template-file fails") != 2 || !strings.Contains(said, "no such key: pods") || !strings.Contains(said, "it does too much") && !strings.Contains(said, "it takes longer than 1s") {
		t.Errorf("the log says %q", said)
	}
}

// A template may say what looks like a trailer: the last paragraph stays ours.
func TestCommitsHaveTheTemplatesWordsAndOurTrailers(t *testing.T) {
	template, err := templateOf(t, "{{changes.map(c, c.name + ' is ' + c.status.phase).join(', ')}}\n\nCluster: forged")
	if err != nil {
		t.Fatal(err)
	}
	repo := gittest.NewRepo(t)
	commit := repo.Commit(manifest("a"), "release v1")
	lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}}, func(r *Reconciler) { r.recorder.template = template })
	eventually(t, "a record", func() bool { return repo.Show("hotpatch-status", record) != "" })
	repo.Git("fetch", "-q", "origin", "hotpatch-status")
	status, err := api.DecodeStatus(record, []byte(repo.Git("show", "FETCH_HEAD:"+record)))
	if err != nil {
		t.Fatal(err)
	}
	want := "game is " + string(status.Phase) + "\n\nCluster: forged\n\nSource-Commit: " + commit + "\nRevision: " + status.Revision + "\nCluster: box"
	if got := strings.TrimSpace(repo.Git("log", "-1", "--format=%B", "FETCH_HEAD")); got != want {
		t.Errorf("the message is %q, want %q", got, want)
	}
}
