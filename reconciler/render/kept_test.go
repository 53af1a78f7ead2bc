package render

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// counted is a commit of which is known what was read.
type counted struct {
	repo
	read *[]string
}

func (c counted) Read(name string) ([]byte, error) {
	*c.read = append(*c.read, name)
	return c.repo.Read(name)
}

func games(n int) repo {
	r := repo{"base/kustomization.yaml": tagged, "base/unused.yaml": hotpatch("unused"), "readme.md": "x"}
	for i := range n {
		dir := fmt.Sprintf("games/%d/", i)
		r[dir+"kustomization.yaml"] = "resources: [game.yaml]\ncomponents: [../../common]\n"
		r[dir+"game.yaml"] = hotpatch(fmt.Sprint("game-", i))
	}
	r["common/kustomization.yaml"] = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n" + tagged
	return r
}

func TestOnlyWhatHasChangedIsBuiltAgain(t *testing.T) {
	commit := games(3)
	var read []string
	for what, c := range map[string]struct {
		file, content string
		want          string // of the files read
	}{
		"nothing":           {"", "", ""},
		"elsewhere":         {"readme.md", "y", ""},
		"one of them":       {"games/1/game.yaml", hotpatch("game-one"), "common/kustomization.yaml games/1/game.yaml games/1/kustomization.yaml"},
		"what all name":     {"common/kustomization.yaml", strings.Replace(commit["common/kustomization.yaml"], "v2", "v3", 1), "common games/0 games/1 games/2"},
		"a file beside one": {"games/2/notes.md", "x", "common games/2"},
	} {
		next := maps.Clone(commit)
		if c.file != "" {
			next[c.file] = c.content
		}
		var r Renderer
		r.Render(context.Background(), counted{commit, &read}, "games")
		read = nil
		got := r.Render(context.Background(), counted{next, &read}, "games")
		slices.Sort(read)
		for _, name := range read {
			if !slices.ContainsFunc(strings.Fields(c.want), func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
				t.Errorf("%s: %s was read again", what, name)
			}
		}
		for _, prefix := range strings.Fields(c.want) {
			if !slices.ContainsFunc(read, func(name string) bool { return strings.HasPrefix(name, prefix) }) {
				t.Errorf("%s: %s was not read again, only %v", what, prefix, read)
			}
		}
		if want := Render(context.Background(), next, "games"); describeResult(got) != describeResult(want) {
			t.Errorf("%s:\n got %s\nwant %s", what, describeResult(got), describeResult(want))
		}
	}
}

// Whatever happens to a repository, who has seen it before says the same of it as
// who has not.
func TestRenderingAgainIsRenderingAnew(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	contents := []string{"", "x", "{", "kind: [", tagged, "resources: [game.yaml]", "resources: [game.yaml, more.yaml]\n" + tagged, "resources: [../0]", "resources: [../../base]",
		"namespace: prod\nresources: [game.yaml]", hotpatch("game-1"), hotpatch("a"), "→/etc/passwd", strings.Replace(hotpatch("b"), "target", "tarket", 1),
		"apiVersion: hotpatch.dev/v1alpha1\nkind: HotPatch\nmetadata: {name: f}\nspec:\n  target: {selector: {matchLabels: {app: f}}}\n  files:\n  - {path: x, version: v1, from: ../files}\n",
		"apiVersion: hotpatch.dev/v1alpha1\nkind: Suspension\nmetadata: {name: stop}\nspec: {}\n"}
	names := []string{"base/kustomization.yaml", "base/game.yaml", "games/files/a", "games/files/b", "games/kustomization.yaml", "games/plain.yaml"}
	for i := range 3 {
		for _, name := range []string{"kustomization.yaml", "Kustomization", "game.yaml", "more.yaml"} {
			names = append(names, fmt.Sprintf("games/%d/%s", i, name))
		}
	}
	for range 20 {
		var r Renderer
		commit := games(3)
		for range 40 {
			name := names[random.IntN(len(names))]
			if content := contents[random.IntN(len(contents))]; content == "" {
				delete(commit, name)
			} else {
				commit[name] = content
			}
			got, want := r.Render(context.Background(), maps.Clone(commit), "games"), Render(context.Background(), commit, "games")
			if describeResult(got) != describeResult(want) || !reflect.DeepEqual(got.Suspensions, want.Suspensions) ||
				!slices.Equal(keysOf(got.Broken), keysOf(want.Broken)) || !slices.Equal(keysOf(got.BrokenSuspensions), keysOf(want.BrokenSuspensions)) {
				t.Fatalf("%v:\n got %s\nwant %s", commit, describeResult(got), describeResult(want))
			}
		}
	}
}

func keysOf(m map[string]error) []string { return slices.Sorted(maps.Keys(m)) }

func BenchmarkRender(b *testing.B) {
	commit := games(1000)
	for what, file := range map[string]string{"all of 1000": "common/kustomization.yaml", "one of 1000": "games/500/game.yaml", "none of 1000": "readme.md"} {
		b.Run(what, func(b *testing.B) {
			var r Renderer
			r.Render(context.Background(), commit, "games")
			for b.Loop() {
				commit[file] += "# again\n"
				r.Render(context.Background(), commit, "games")
			}
		})
	}
}
