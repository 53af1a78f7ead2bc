// Package archtest holds the one-way street that ARCHITECTURE.md promises:
// cmd → reconciler | nodeagent | sidecar → their parts → api and internal, and
// one importer for each library that would otherwise shape the code everywhere.
package archtest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "hotpatch.dev/hotpatch/"

// owners names the folders that may import a library, by its path's beginning.
var owners = map[string][]string{
	"github.com/go-git/":                      {"gitsource"},
	"github.com/golang-jwt/":                  {"gitsource"},
	"github.com/google/go-github/":            {"reconciler/forge"},
	"gitlab.com/gitlab-org/api/client-go/":    {"reconciler/forge"},
	"code.gitea.io/sdk/":                      {"reconciler/forge", "test/forge"},
	"sigs.k8s.io/kustomize/api/":              {"reconciler/render"},
	"github.com/google/go-containerregistry/": {"reconciler/registry", "nodeagent/credentials", "test"},
	"k8s.io/client-go/informers":              {"reconciler/kube", "nodeagent"},
	"k8s.io/client-go/tools/leaderelection":   {"reconciler/kube"},
	"github.com/containerd/":                  {"nodeagent/runtime", "test/soak"},
	"github.com/moby/sys/mountinfo":           {"nodeagent/mount"},
	"github.com/robfig/cron/":                 {"api"},
	"github.com/google/cel-go/":               {"internal/condition", "internal/wording"},
	"k8s.io/client-go/tools/remotecommand":    {"reconciler/kube", "test"},
	"github.com/invopop/jsonschema":           {"api"},
}

// layers, from what may import everything to what may import nothing of ours.
var layers = []string{"test", "cmd", "reconciler nodeagent sidecar", "gitsource", "internal", "api"}

// cores may be imported by their siblings: they hold the words that the parts of
// a process speak to each other in, and import none of them.
var cores = []string{"reconciler/plan", "nodeagent/mount"}

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from := strings.TrimPrefix(fields[0], module)
		for _, to := range fields[1:] {
			if why := guilt(from, to); why != "" {
				t.Errorf("%s → %s: %s", from, strings.TrimPrefix(to, module), why)
			}
		}
	}
}

// guilt says what is wrong with an import, "" if nothing is.
func guilt(from, to string) string {
	own, ours := strings.CutPrefix(to, module)
	if !ours {
		return foreignGuilt(from, to)
	}
	a, b := top(from), top(own)
	switch {
	case layer(a) < 0:
		return "folder " + a + " stands in no layer; give it one in this test"
	case a == "api":
		return "api imports nothing of ours"
	case a != b && layer(a) >= layer(b):
		return a + " may not import " + b
	case a == b && part(from) && part(own) && !slices.Contains(cores, own) && !strings.HasPrefix(own, from+"/"):
		return "parts of " + a + " do not know each other; their process brings them together"
	case a == b && part(from) && own == a:
		return "a part may not import its process"
	}
	return ""
}

func foreignGuilt(from, to string) string {
	for library, folders := range owners {
		in := func(folder string) bool { return from == folder || strings.HasPrefix(from, folder+"/") }
		if strings.HasPrefix(to, library) && !slices.ContainsFunc(folders, in) {
			return "only " + strings.Join(folders, ", ") + " may import it"
		}
	}
	return ""
}

func top(path string) string { folder, _, _ := strings.Cut(path, "/"); return folder }

// part tells whether a package is a part of one of the three processes.
func part(path string) bool {
	return strings.Contains(path, "/") && layer(top(path)) == layer("reconciler")
}

func layer(folder string) int {
	return slices.IndexFunc(layers, func(l string) bool { return slices.Contains(strings.Fields(l), folder) })
}

func TestGuiltyImportsAreSeen(t *testing.T) {
	for _, path := range []string{
		"api → internal/logging", "reconciler → nodeagent", "reconciler → nodeagent/mount", "reconciler/render → reconciler/kube",
		"reconciler/kube → reconciler", "reconciler/plan → reconciler/kube", "gitsource → reconciler/plan", "internal/logging → gitsource", "sidecar → cmd/hotpatch", "util → api",
	} {
		from, to, _ := strings.Cut(path, " → ")
		if guilt(from, module+to) == "" {
			t.Errorf("%s passes", path)
		}
	}
	if guilt("reconciler", "github.com/go-git/go-git/v5") == "" {
		t.Error("reconciler → go-git passes")
	}
}
