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
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/internal/debian"
)

// TestSnippetsForCI runs the scripts of examples/ci as a runner does, on a pull
// request, beside a server that takes the comment.
func TestSnippetsForCI(t *testing.T) {
	if err := debian.Need(context.Background(), "the scripts for CI are run", map[string]string{"jq": "jq", "curl": "curl"}); err != nil {
		t.Fatal(err)
	}
	var said comment
	comments := httptest.NewServer(&said)
	t.Cleanup(comments.Close) // stories are parallel to this
	testscript.Run(t, testscript.Params{
		Dir: "testdata/ci", RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"extract": extract, "comment": said.show},
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "COMMENTS="+comments.URL, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=ann", "GIT_AUTHOR_EMAIL=ann@example.org",
				"GIT_COMMITTER_NAME=ann", "GIT_COMMITTER_EMAIL=ann@example.org")
			return nil
		},
	})
}

// comment is a forge that remembers the last one. The lock, because that a
// program of the script's has ended orders nothing for the race detector.
type comment struct {
	mu   sync.Mutex
	last string
}

func (c *comment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "want a comment", http.StatusBadRequest)
		return
	}
	var sent struct{ Body string }
	if json.Unmarshal(body, &sent) != nil { // GitLab takes forms
		form, _ := url.ParseQuery(string(body))
		sent.Body = form.Get("body")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = fmt.Sprintf("%s with %s%s\n%s", r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("PRIVATE-TOKEN"), sent.Body)
	w.WriteHeader(http.StatusCreated)
}

// show puts the last comment into a file, and forgets it.
func (c *comment) show(ts *testscript.TestScript, _ bool, args []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(c.last), 0o600))
	c.last = ""
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
