package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/internal/debian"
)

// TestSnippetsForCI runs the scripts of examples/ci as a runner does, on a pull
// request, beside a server that takes its comments.
func TestSnippetsForCI(t *testing.T) {
	if err := debian.Need(context.Background(), "the scripts for CI are run", map[string]string{"jq": "jq", "curl": "curl"}); err != nil {
		t.Fatal(err)
	}
	var said forge
	comments := httptest.NewServer(&said)
	t.Cleanup(comments.Close) // stories are parallel to this
	testscript.Run(t, testscript.Params{
		Dir: "testdata/ci", RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"extract": extract, "comment": said.show, "pull": said.pull},
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "COMMENTS="+comments.URL, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example.org",
				"GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example.org")
			return nil
		},
	})
}

// forge has the comments of one pull request, of which the first is by somebody else
// who knows the mark. The lock, because that a program of the script's has ended orders
// nothing for the race detector.
type forge struct {
	mu       sync.Mutex
	comments []comment
	last     string // request that wrote
}

type comment struct {
	ID     int            `json:"id"`
	Body   string         `json:"body"`
	User   map[string]any `json:"user"`
	Author map[string]any `json:"author"` // GitLab's name for it
}

// person is one who comments.
func person(id int, login string) map[string]any { return map[string]any{"id": id, "login": login} }

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	token := r.Header.Get("Authorization") + r.Header.Get("PRIVATE-TOKEN")
	switch {
	case strings.HasSuffix(r.URL.Path, "/user"):
		fmt.Fprint(w, `{"id": 2}`)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(f.comments) // the client may be gone
	case strings.HasSuffix(token, "readonly"):
		http.Error(w, "you may not comment", http.StatusForbidden)
	default:
		f.write(w, r, token)
	}
}

func (f *forge) write(w http.ResponseWriter, r *http.Request, token string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "want a comment", http.StatusBadRequest)
		return
	}
	var sent struct{ Body string }
	if json.Unmarshal(body, &sent) != nil { // GitLab takes forms
		form, _ := url.ParseQuery(string(body))
		sent.Body = form.Get("body")
	}
	f.last = fmt.Sprintf("%s %s with %s\n%s", r.Method, r.URL.Path, token, sent.Body)
	if r.Method == http.MethodPost {
		bot := map[bool]string{true: "gitea-actions", false: "github-actions[bot]"}[strings.Contains(r.URL.Path, "/api/v1/")]
		f.comments = append(f.comments, comment{10 + len(f.comments), sent.Body, person(2, bot), person(2, bot)})
		w.WriteHeader(http.StatusCreated)
		return
	}
	i := slices.IndexFunc(f.comments, func(c comment) bool { return strings.HasSuffix(r.URL.Path, fmt.Sprint("/", c.ID)) })
	if i < 0 {
		http.NotFound(w, r)
		return
	}
	f.comments[i].Body = sent.Body
}

// show puts the request that wrote last into a file, and forgets it.
func (f *forge) show(ts *testscript.TestScript, _ bool, args []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(f.last), 0o600))
	f.last = ""
}

// pull begins a pull request, with a comment of somebody else's.
func (f *forge) pull(*testscript.TestScript, bool, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.comments = []comment{{9, reviewMark + "\nall is well", person(1, "eve"), person(1, "eve")}}
}

// extract writes the last script of a file for CI: extract github.yaml script.sh
func extract(ts *testscript.TestScript, _ bool, args []string) {
	content, err := os.ReadFile("../../examples/ci/" + args[0])
	ts.Check(err)
	var file struct {
		Jobs     map[string]struct{ Steps []struct{ Run string } }
		Hotpatch struct{ Script []string }
	}
	ts.Check(yaml.Unmarshal(content, &file))
	script := strings.Join(file.Hotpatch.Script, "\n")
	if steps := file.Jobs["plan"].Steps; len(steps) > 0 {
		script = steps[len(steps)-1].Run
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte("set -e\n"+script), 0o600))
}
