package render

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

// repo is a commit in memory; "→x" is a symlink, "⊂x" a submodule.
type repo map[string]string

func (r repo) Files(dir string) ([]File, error) {
	var out []File
	for name, content := range r {
		if dir == "." || strings.HasPrefix(name, path.Clean(dir)+"/") {
			f := File{Path: name, Size: int64(len(content)), ID: content}
			if strings.HasPrefix(content, "→") {
				f.Kind = Symlink
			}
			if strings.HasPrefix(content, "⊂") {
				f.Kind = Submodule
			}
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

func (r repo) Read(name string) ([]byte, error) {
	if content, ok := r[name]; ok {
		return []byte(content), nil
	}
	return nil, fs.ErrNotExist
}

func hotpatch(name string) string {
	return fmt.Sprintf(`apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata: {name: %s}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: %s}
  containers: [{name: main, image: registry.example:5000/game}]
`, name, name)
}

const tagged = `images: [{name: "registry.example:5000/game", newTag: v2}]
`

func describeResult(r Result) string {
	var b strings.Builder
	for _, i := range r.Items {
		image := ""
		if len(i.HotPatch.Spec.Containers) > 0 {
			image = i.HotPatch.Spec.Containers[0].Image
		}
		fmt.Fprintf(&b, "%s %s from %s in %s", i.HotPatch.Key(), image, i.File, i.Root)
		for name, c := range i.Files {
			fmt.Fprintf(&b, " %s=%s:%s", name, c.RepoPath, c.SHA256[:8])
		}
		b.WriteString("\n")
	}
	for _, err := range r.Errors {
		fmt.Fprintf(&b, "error: %v\n", err)
	}
	if len(r.Failed) > 0 {
		fmt.Fprintf(&b, "failed: %s\n", strings.Join(r.Failed, " "))
	}
	return b.String()
}

func TestRender(t *testing.T) {
	for _, c := range []struct {
		name string
		repo repo
		dir  string
		want string
	}{
		{"one kustomization, images rewritten",
			repo{"k/kustomization.yaml": tagged + "resources: [game.yaml, service.yaml]", "k/game.yaml": hotpatch("game"), "k/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"}, "k",
			"default/game registry.example:5000/game:v2 from k/game.yaml in k\n"},
		{"at the top of the repository",
			repo{"kustomization.yaml": tagged + "resources: [game.yaml]", "game.yaml": hotpatch("game")}, ".",
			"default/game registry.example:5000/game:v2 from game.yaml in .\n"},
		{"a file at the top of the repository",
			repo{"game.yaml": hotpatch("game")}, ".",
			"default/game registry.example:5000/game from game.yaml in game.yaml\n"},
		{"a base outside the path, and a namespace",
			repo{"o/kustomization.yaml": tagged + "namespace: prod\nresources: [../base]", "base/kustomization.yaml": "resources: [game.yaml]", "base/game.yaml": hotpatch("game")}, "o",
			"prod/game registry.example:5000/game:v2 from base/game.yaml in o\n"},
		{"bases are not built on their own",
			repo{"o/kustomization.yaml": tagged + "resources: [../base]", "base/kustomization.yaml": "resources: [game.yaml]", "base/game.yaml": hotpatch("game")}, ".",
			"default/game registry.example:5000/game:v2 from base/game.yaml in o\n"},
		{"one bad root stops only itself",
			repo{"a/kustomization.yaml": "resources: [a.yaml]", "a/a.yaml": "kind: HotPatch\nmetadata:\n  name: [", "b/kustomization.yaml": "resources: [b.yaml]", "b/b.yaml": hotpatch("b")}, ".",
			"default/b registry.example:5000/game from b/b.yaml in b\nerror: a/a.yaml: line 3: did not find expected node content\nfailed: a\n"},
		{"one bad object stops only itself",
			repo{"k/kustomization.yaml": "resources: [a.yaml, b.yaml]", "k/a.yaml": strings.Replace(hotpatch("a"), "target", "tarket", 1), "k/b.yaml": hotpatch("b")}, "k",
			"default/b registry.example:5000/game from k/b.yaml in k\nerror: k/a.yaml: HotPatch a: spec.tarket: unknown field"},
		{"plain files, each on its own",
			repo{"p/a.yaml": hotpatch("a") + "---\n" + hotpatch("a2"), "p/b.yaml": "{", "p/c/d.yml": hotpatch("d"), "p/readme.md": "x"}, "p",
			"default/a registry.example:5000/game from p/a.yaml in p/a.yaml\ndefault/a2 registry.example:5000/game from p/a.yaml in p/a.yaml\ndefault/d registry.example:5000/game from p/c/d.yml in p/c/d.yml\nerror: p/b.yaml: line 1"},
		{"files of the repository",
			repo{"k/kustomization.yaml": "resources: [sub/f.yaml]", "k/sub/f.yaml": "apiVersion: hotpatch.dev/v1alpha1\nkind: HotPatch\nmetadata: {name: f}\nspec:\n  target: {selector: {matchLabels: {app: f}}}\n  files:\n  - {path: index.html, version: v1, from: files/index.html}\n", "k/sub/files/index.html": "hello"}, "k",
			"default/f  from k/sub/f.yaml in k index.html=k/sub/files/index.html:2cf24dba\n"},
		{"a file that is not there",
			repo{"k/f.yaml": "apiVersion: hotpatch.dev/v1alpha1\nkind: HotPatch\nmetadata: {name: f}\nspec:\n  target: {selector: {matchLabels: {app: f}}}\n  files:\n  - {path: index.html, version: v1, from: nothing.html}\n"}, "k",
			"error: k/f.yaml: HotPatch default/f: spec.files[0].from: there is no file or directory k/nothing.html in the repository\n"},
		{"the same name twice",
			repo{"k/a.yaml": hotpatch("game"), "k/b.yaml": hotpatch("game")}, "k",
			"error: k/b.yaml: HotPatch default/game: metadata.name: stands in k/a.yaml too"},
		{"nothing is fetched",
			repo{"k/kustomization.yaml": "resources: [\"https://github.com/x/y?ref=v1\"]"}, "k",
			"error: k/kustomization.yaml: resources[0]: https://github.com/x/y?ref=v1 is not in this repository; nothing is fetched from elsewhere\nfailed: k\n"},
		{"no symlink is followed",
			repo{"k/kustomization.yaml": "resources: [a.yaml]", "k/a.yaml": "→/etc/passwd"}, "k",
			"error: k/kustomization.yaml: resources[0]: k/a.yaml is a symlink or submodule, which are not followed\nfailed: k\n"},
		{"openapi is refused",
			repo{"k/kustomization.yaml": "openapi: {path: x.json}\nresources: []"}, "k",
			"error: k/kustomization.yaml: openapi: openapi would change how every other build is done; leave it out\nfailed: k\n"},
		{"a missing resource is named",
			repo{"k/kustomization.yaml": "resources: [typo.yaml]"}, "k",
			"error: k/kustomization.yaml: resources[0]: there is no typo.yaml here\nfailed: k\n"},
		{"an empty path", repo{"readme.md": "x"}, "deploy",
			"error: deploy: there is no kustomization and no YAML file in the repository at this path\nfailed: deploy\n"},
	} {
		if got := describeResult(Render(context.Background(), c.repo, c.dir)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// A document that expands to a billion nodes is refused, not expanded.
func TestRenderRefusesAliasBombs(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	r := Render(context.Background(), repo{"k/a.yaml": bomb, "k/b.yaml": hotpatch("b")}, "k")
	if len(r.Items) != 1 || len(r.Errors) != 1 || !strings.Contains(r.Errors[0].Error(), "k/a.yaml") {
		t.Errorf("got %s", describeResult(r))
	}
}

type brokenSource struct{ repo }

func (brokenSource) Files(string) ([]File, error) { return nil, errors.New("object missing") }

func TestRenderSaysThatTheCommitCannotBeRead(t *testing.T) {
	r := Render(context.Background(), brokenSource{}, ".")
	if len(r.Failed) != 1 || len(r.Errors) != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestRenderOfSuspensions(t *testing.T) {
	const freeze = "apiVersion: hotpatch.dev/v1alpha1\nkind: Suspension\nmetadata: {name: freeze}\nspec: {namespaces: [games]}\n"
	r := Render(context.Background(), repo{"k/kustomization.yaml": "namespace: prod\nresources: [freeze.yaml, thaw.yaml, game.yaml]", "k/freeze.yaml": freeze,
		"k/thaw.yaml": strings.NewReplacer("freeze", "thaw", "namespaces", "namespace").Replace(freeze), "k/game.yaml": hotpatch("game")}, "k")
	if len(r.Suspensions) != 1 || !r.Suspensions[0].Over("games") || r.Suspensions[0].Over("prod") || r.Suspensions[0].File != "k/freeze.yaml" {
		t.Errorf("suspensions %+v", r.Suspensions)
	}
	if err := r.BrokenSuspensions["thaw"]; err == nil || !strings.Contains(err.Error(), "k/thaw.yaml: Suspension prod/thaw: spec.namespace: unknown field") || len(r.Errors) != 1 || len(r.Items) != 1 {
		t.Errorf("broken %v, %s", r.BrokenSuspensions, describeResult(r))
	}
}

func dependent(name string, on ...string) string {
	return hotpatch(name) + "  dependsOn: [" + strings.Join(on, ", ") + "]\n"
}

func TestRenderRefusesDependenciesThatNobodyCanMeet(t *testing.T) {
	good := func(names ...string) (lines string) {
		for _, name := range names {
			lines += fmt.Sprintf("default/%s registry.example:5000/game from k/%[1]s.yaml in k/%[1]s.yaml\n", name)
		}
		return lines
	}
	for _, c := range []struct {
		name string
		repo repo
		want string
	}{
		{"in a row", repo{"k/a.yaml": dependent("a", "b"), "k/b.yaml": dependent("b", "default/c"), "k/c.yaml": hotpatch("c")},
			good("a", "b", "c")},
		{"nobody of that name", repo{"k/a.yaml": dependent("a", "b", "nobody"), "k/b.yaml": hotpatch("b")},
			good("b") + "error: k/a.yaml: HotPatch default/a: spec.dependsOn[1]: there is no HotPatch default/nobody here; correct the name, or push it\n"},
		{"of another namespace", repo{"k/a.yaml": dependent("a", "prod/b"), "k/b.yaml": hotpatch("b")},
			good("b") + "error: k/a.yaml: HotPatch default/a: spec.dependsOn[0]: there is no HotPatch prod/b here"},
		{"a circle, and who only waits for it", repo{"k/a.yaml": dependent("a", "b"), "k/b.yaml": dependent("b", "c"), "k/c.yaml": dependent("c", "a"), "k/d.yaml": dependent("d", "a")},
			good("d") + "error: k/a.yaml: HotPatch default/a: spec.dependsOn[0]: nobody could begin: default/a waits for default/b waits for default/c waits for default/a\nerror: k/b.yaml: HotPatch default/b: spec.dependsOn[0]"},
		{"one that cannot be used is there", repo{"k/a.yaml": dependent("a", "b"), "k/b.yaml": strings.Replace(hotpatch("b"), "target", "tarket", 1)},
			good("a") + "error: k/b.yaml: HotPatch b: spec.tarket: unknown field"},
		{"it may stand in what does not build", repo{"k/a.yaml": dependent("a", "b"), "k/b.yaml": "{"},
			good("a") + "error: k/b.yaml: line 1"},
	} {
		if got := describeResult(Render(context.Background(), c.repo, "k")); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

// A directory goes out as one tar file, and the same files give the same bytes.
func TestDirectoryIsPacked(t *testing.T) {
	const spec = "apiVersion: hotpatch.dev/v1alpha1\nkind: HotPatch\nmetadata: {name: f}\nspec:\n  target: {selector: {matchLabels: {app: f}}}\n  files:\n  - {path: levels, version: v1, from: levels}\n"
	src := repo{"k/f.yaml": spec, "k/levels/b.txt": "b", "k/levels/a/a.txt": "a", "k/levelsX": "not in it"}
	r := Render(context.Background(), src, "k")
	if len(r.Items) != 1 {
		t.Fatal(describeResult(r))
	}
	c := r.Items[0].Files["levels"]
	packed, err := Read(src, c)
	if err != nil || !c.Dir || c.RepoPath != "k/levels" {
		t.Fatal(c, err)
	}
	var names []string
	for in := tar.NewReader(bytes.NewReader(packed)); ; {
		header, err := in.Next()
		if err != nil {
			break
		}
		names = append(names, fmt.Sprintf("%s %o %d", header.Name, header.Mode, header.ModTime.Unix()))
	}
	if got := strings.Join(names, ", "); got != "a/a.txt 644 0, b.txt 644 0" {
		t.Error(got)
	}
	again, err := Read(src, c)
	if sum := sha256.Sum256(again); err != nil || hex.EncodeToString(sum[:]) != c.SHA256 {
		t.Errorf("packed again it is another: %x, %v", sum, err)
	}
	src["k/levels/l"] = "→../.."
	if got := describeResult(Render(context.Background(), src, "k")); !strings.Contains(got, "spec.files[0].from: k/levels/l is not a regular file") {
		t.Error(got)
	}
}
