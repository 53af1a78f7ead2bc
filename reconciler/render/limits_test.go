package render

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func many(n int, object func(name string) string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\n%s", object(fmt.Sprint("o-", i)))
	}
	return b.String()
}

func configMap(name string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n"
}

func inList(name string) string {
	return "- {apiVersion: v1, kind: ConfigMap, metadata: {name: " + name + "}}\n"
}

// What kustomize would build for minutes or hours is refused before it sees it.
func TestRenderRefusesWhatTakesTooLong(t *testing.T) {
	list := "apiVersion: v1\nkind: ConfigMapList\nitems:\n" + strings.ReplaceAll(many(2000, inList), "---\n", "")
	var images, patches, parts strings.Builder
	doubling := repo{"k/0/kustomization.yaml": "resources: [a.yaml]", "k/0/a.yaml": many(10, configMap)}
	spread := repo{}
	for i := range 2000 {
		fmt.Fprintf(&images, "- {name: image-%d, newTag: v2}\n", i)
		fmt.Fprintf(&patches, "- {path: patch.yaml}\n")
	}
	for i := 1; i < 60; i++ {
		doubling[fmt.Sprintf("k/%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../a-%d, ../b-%[1]d]", i-1)
		for _, side := range []string{"a", "b"} {
			doubling[fmt.Sprintf("k/%s-%d/kustomization.yaml", side, i-1)] = fmt.Sprintf("namePrefix: %s-\nresources: [../%d]", side, i-1)
		}
		spread[fmt.Sprintf("k/x/%d.yaml", i)] = many(100, func(name string) string { return configMap(fmt.Sprint(name, "-", i)) })
		fmt.Fprintf(&parts, "%d.yaml, ", i)
	}
	spread["k/x/kustomization.yaml"] = "resources: [" + parts.String() + "]"
	for what, c := range map[string]struct {
		repo repo
		want string
	}{
		"in one file":                        {repo{"k/x/kustomization.yaml": "resources: [a.yaml]", "k/x/a.yaml": many(4000, configMap)}, "error: k/x/a.yaml: has 4000 objects; a build may have 1500, so have several kustomizations build them"},
		"in one file alone":                  {repo{"k/x.yaml": many(4000, configMap)}, "error: k/x.yaml: has 4000 objects"},
		"in a list":                          {repo{"k/x/kustomization.yaml": "resources: [a.yaml]", "k/x/a.yaml": list}, "error: k/x/a.yaml: has 2000 objects"},
		"in many files":                      {spread, "error: k/x/kustomization.yaml: with all that it names it has 1600 objects; a build may have 1500"},
		"by kustomizations that double them": {doubling, "error: k/a-7/kustomization.yaml: its 1280 objects, with all patches"},
		"many images for many":               {repo{"k/x/kustomization.yaml": "resources: [a.yaml]\nimages:\n" + images.String(), "k/x/a.yaml": many(200, configMap)}, "error: k/x/kustomization.yaml: its 200 objects, with all patches, images and the like"},
		"many patches for many":              {repo{"k/x/kustomization.yaml": "resources: [a.yaml]\npatches:\n" + patches.String(), "k/x/a.yaml": many(1000, configMap), "k/x/patch.yaml": configMap("o-1")}, "error: k/x/kustomization.yaml: its 1000 objects, with all patches"},
	} {
		c.repo["k/good.yaml"] = hotpatch("good")
		r := Render(t.Context(), c.repo, "k")
		if got := describeResult(r); !strings.Contains(got, c.want) || len(r.Items) != 1 || len(r.Failed) == 0 {
			t.Errorf("%s:\n got %.500s\nwant %s", what, got, c.want)
		}
	}
}

// What people have is not refused.
func TestAThousandInOneKustomizationAreNotTooMany(t *testing.T) {
	var images, patches strings.Builder
	for i := range 1000 {
		if i < 100 {
			fmt.Fprintf(&images, "- {name: image-%d, newTag: v2}\n", i)
		}
		fmt.Fprintf(&patches, "- {path: patches/%d.yaml}\n", i)
	}
	for what, fields := range map[string]string{"": "", "with 100 images": "images:\n" + images.String(), "with a patch each": "patches:\n" + patches.String()} {
		r := repo{"k/kustomization.yaml": "namespace: prod\nresources: [a.yaml]\n" + fields, "k/a.yaml": many(1000, hotpatch)}
		for i := range 1000 {
			r[fmt.Sprintf("k/patches/%d.yaml", i)] = hotpatch(fmt.Sprint("o-", i))
		}
		repo, err := index(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newLoader(t.Context(), repo).root("k"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// stuck is a renderer whose builds of some directories do not end until they are
// released, and are given up as soon as they have begun.
type stuck struct {
	Renderer
	dirs    []string
	release chan struct{}
	begun   []string
	giveUp  map[string]context.CancelFunc
}

func newStuck(t *testing.T, dirs ...string) *stuck {
	s := &stuck{dirs: dirs, release: make(chan struct{}), giveUp: map[string]context.CancelFunc{}}
	s.patient = func(ctx context.Context, root string) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		s.giveUp["/"+root] = cancel
		if len(slots) == cap(slots) {
			cancel()
		}
		return ctx, cancel
	}
	s.build = func(disk filesys.FileSystem, dir string) (resmap.ResMap, error) {
		s.begun = append(s.begun, dir)
		if slices.Contains(s.dirs, dir) {
			s.giveUp[dir]()
			<-s.release
		}
		return kustomize(disk, dir)
	}
	return s
}

// end has all builds end.
func (s *stuck) end() {
	close(s.release)
	for _, k := range s.kept {
		if k.late != nil {
			<-k.late.done
		}
	}
	s.dirs = nil
}

func of(names ...string) repo {
	r := repo{}
	for _, name := range names {
		r[name+"/kustomization.yaml"] = "resources: [" + name + ".yaml]"
		r[name+"/"+name+".yaml"] = hotpatch(name)
	}
	return r
}

func (s *stuck) renders(t *testing.T, what string, commit repo, found, failed string, begun ...string) {
	t.Helper()
	s.begun = nil
	r := s.Render(t.Context(), commit, ".")
	var names []string
	for _, i := range r.Items {
		names = append(names, i.HotPatch.Metadata.Name)
	}
	if got := strings.Join(names, " "); got != found || strings.Join(r.Failed, " ") != failed || r.Unfinished != (failed != "") || !slices.Equal(s.begun, begun) {
		t.Errorf("%s: found %q, unfinished %t, begun %q, %s", what, got, r.Unfinished, s.begun, describeResult(r))
	}
}

func TestASlowBuildStopsOnlyItself(t *testing.T) {
	s := newStuck(t, "/slow")
	commit := of("a", "slow", "z")
	s.renders(t, "at first", commit, "a z", "slow", "/a", "/slow", "/z")
	s.renders(t, "again", commit, "a z", "slow")
	commit["slow/slow.yaml"] += "# changed\n"
	commit["z/z.yaml"] += "# changed\n"
	s.renders(t, "changed", commit, "a z", "slow", "/z")
	commit["slow/slow.yaml"] = hotpatch("slow")
	s.end()
	s.renders(t, "when it has ended", commit, "a slow z", "")

	s = newStuck(t, "/slow")
	s.renders(t, "at first", commit, "a z", "slow", "/a", "/slow", "/z")
	commit["slow/slow.yaml"] += "# changed\n"
	s.end()
	s.renders(t, "when an earlier one has ended", commit, "a slow z", "", "/slow")
}

// However many are slow, no more than two builds run.
func TestSlowBuildsDoNotPileUp(t *testing.T) {
	s := newStuck(t, "/b", "/c", "/d")
	commit := of("a", "b", "c", "d", "e")
	s.renders(t, "at first", commit, "a", "b c d e", "/a", "/b", "/c")
	s.renders(t, "again", commit, "a", "b c d e")
	s.end()
	s.renders(t, "when they have ended", commit, "a b c d e", "", "/d", "/e")
}

// A process that is to end waits for no build.
func TestRenderEndsWithItsContext(t *testing.T) {
	s := newStuck(t, "/slow")
	ctx, cancel := context.WithCancel(t.Context())
	s.patient = func(ctx context.Context, root string) (context.Context, context.CancelFunc) {
		return ctx, func() {}
	}
	s.giveUp["/slow"] = cancel
	s.Render(ctx, of("slow", "z"), ".")
	if !slices.Equal(s.begun, []string{"/slow"}) {
		t.Errorf("begun: %q", s.begun)
	}
	s.end()
}
