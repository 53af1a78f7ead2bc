package render

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSubmodulesAreRefused(t *testing.T) {
	const from = "apiVersion: hotpatch.dev/v1alpha1\nkind: HotPatch\nmetadata: {name: f}\nspec:\n  target: {selector: {matchLabels: {app: f}}}\n  files:\n  - {path: x, version: v1, from: %s}\n"
	for what, c := range map[string]struct {
		repo repo
		want string
	}{
		"as a resource":         {repo{"k/kustomization.yaml": "resources: [base]", "k/base": "⊂"}, "error: k/kustomization.yaml: resources[0]: k/base is a symlink or submodule, which are not followed\nfailed: k\n"},
		"as a component":        {repo{"k/kustomization.yaml": "components: [part]", "k/part": "⊂"}, "error: k/kustomization.yaml: components[0]: k/part is a symlink or submodule, which are not followed\nfailed: k\n"},
		"below a resource":      {repo{"k/kustomization.yaml": "resources: [base/game.yaml]", "k/base": "⊂"}, "error: k/kustomization.yaml: resources[0]: there is no base/game.yaml here\nfailed: k\n"},
		"as a file":             {repo{"k/f.yaml": fmt.Sprintf(from, "levels"), "k/levels": "⊂"}, "error: k/f.yaml: HotPatch default/f: spec.files[0].from: k/levels is not a regular file\n"},
		"below a file's folder": {repo{"k/f.yaml": fmt.Sprintf(from, "levels"), "k/levels/a": "a", "k/levels/b": "⊂"}, "error: k/f.yaml: HotPatch default/f: spec.files[0].from: k/levels/b is not a regular file\n"},
	} {
		if got := describeResult(Render(t.Context(), c.repo, "k")); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, c.want)
		}
	}
}

// Pods are not handed a pointer in place of what it points to.
func TestPointersOfLFSAreRefused(t *testing.T) {
	const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	const from = "apiVersion: hotpatch.dev/v1alpha1\nkind: HotPatch\nmetadata: {name: f}\nspec:\n  target: {selector: {matchLabels: {app: f}}}\n  files:\n  - {path: x, version: v1, from: levels%s}\n"
	for what, c := range map[string]struct {
		repo repo
		want string
	}{
		"a file":         {repo{"k/f.yaml": fmt.Sprintf(from, "/a"), "k/levels/a": lfs}, "error: k/f.yaml: HotPatch default/f: spec.files[0].from: k/levels/a is a pointer of Git LFS, which is not followed"},
		"in a folder":    {repo{"k/f.yaml": fmt.Sprintf(from, ""), "k/levels/a": "a", "k/levels/b": lfs}, "error: k/f.yaml: HotPatch default/f: spec.files[0].from: k/levels/b is a pointer of Git LFS"},
		"a resource":     {repo{"k/kustomization.yaml": "resources: [a.yaml]", "k/a.yaml": lfs}, "error: k/a.yaml: is a pointer of Git LFS"},
		"a plain file":   {repo{"k/a.yaml": lfs}, "error: k/a.yaml: is a pointer of Git LFS"},
		"of a generator": {repo{"k/kustomization.yaml": "configMapGenerator: [{name: x, files: [a.bin]}]", "k/a.bin": lfs}, "error: k/a.bin: is a pointer of Git LFS"},
	} {
		if got := describeResult(Render(t.Context(), c.repo, "k")); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", what, got, c.want)
		}
	}
}

// Whatever kustomize would have fetched, by whichever field and spelling, is refused
// before it is asked; also where the repository has something of that very name.
func TestNothingIsFetched(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		fmt.Fprint(w, hotpatch("fetched"))
	}))
	defer server.Close()
	places := []string{"git@host.invalid:x/y", "git@host.invalid/x/y", "github.com/x//y", "GitHub.com/x/y", "github.com:x/y", "git::https://host.invalid/x/y", "ssh://git@host.invalid/x/y",
		"https://github.com/x/y?ref=v1", "HTTPS://host.invalid/x//y", "file:///x/y", server.URL + "/x.yaml", strings.Replace(server.URL, "http", "HTTP", 1) + "/x.yaml"}
	for _, place := range places {
		for field, k := range map[string]string{
			"resources[0]":                   "resources: [%q]",
			"bases[0]":                       "bases: [%q]",
			"components[0]":                  "components: [%q]",
			"crds[0]":                        "crds: [%q]",
			"configurations[0]":              "configurations: [%q]",
			"generators[0]":                  "generators: [%q]",
			"transformers[0]":                "transformers: [%q]",
			"validators[0]":                  "validators: [%q]",
			"patches[0].path":                "patches: [{path: %q, target: {kind: HotPatch}}]",
			"patchesStrategicMerge[0]":       "patchesStrategicMerge: [%q]",
			"patchesJson6902[0].path":        "patchesJson6902: [{path: %q, target: {kind: HotPatch, name: a, version: v1}}]",
			"replacements[0].path":           "replacements: [{path: %q}]",
			"configMapGenerator[0].files[0]": "configMapGenerator: [{name: x, files: [\"x=%s\"]}]",
			"configMapGenerator[0].envs[0]":  "configMapGenerator: [{name: x, envs: [%q]}]",
			"secretGenerator[0].env":         "secretGenerator: [{name: x, env: %q}]",
		} {
			written := fmt.Sprintf(k, place)
			refused(t, written, "k/kustomization.yaml: "+field+": "+place+" is not in this repository", repo{})
			refused(t, strings.ToUpper(written[:1])+written[1:], "k/kustomization.yaml: "+field+": ", repo{})
		}
		refused(t, fmt.Sprintf("resources: [%q]", place), "resources[0]: "+place+" is not in this repository", repo{"k/" + place: hotpatch("b"), "k/" + place + "/kustomization.yaml": "resources: []"})
	}
	for _, plugin := range []string{"kind: PatchTransformer\nmetadata: {name: x}\ntarget: {kind: HotPatch}\npath: %s\n", "kind: PatchTransformer\nmetadata: {name: x}\ntarget: {kind: HotPatch}\nPath: %s\n",
		"kind: ConfigMapGenerator\nmetadata: {name: x}\nname: x\nfiles: [x=%s]\n", "kind: ConfigMapGenerator\nmetadata: {name: x}\nname: x\nenvs: [%s]\n", "kind: ReplacementTransformer\nmetadata: {name: x}\nreplacements: [{path: %s}]\n"} {
		for _, field := range []string{"generators", "transformers", "validators"} {
			config := "apiVersion: builtin\n" + fmt.Sprintf(plugin, server.URL+"/x.yaml")
			refused(t, field+": [x.yaml]", server.URL+"/x.yaml is not in this repository", repo{"k/x.yaml": config})
			refused(t, fmt.Sprintf("%s: [%q]", field, config), server.URL+"/x.yaml is not in this repository", repo{})
		}
	}
	refused(t, "transformers: [x]", "transformers[0]: x is a directory", repo{"k/x/kustomization.yaml": "resources: [p.yaml]", "k/x/p.yaml": hotpatch("p")})
	refused(t, "openapi: {path: \"https://host.invalid/x.json\"}", "openapi: openapi would change how every other build is done", repo{})
	refused(t, "OpenAPI: {path: x.json}", "openapi: openapi would change how every other build is done", repo{"k/x.json": "{}"})
	refused(t, "HelmCharts: [{name: x}]", "helmCharts: Helm charts are not rendered", repo{})
	if asked > 0 {
		t.Errorf("the server was asked %d times", asked)
	}
}

// refused renders a kustomization that is to be refused.
func refused(t *testing.T, kustomization, want string, beside repo) {
	t.Helper()
	beside["k/kustomization.yaml"] = kustomization
	if r := Render(t.Context(), beside, "k"); len(r.Failed) == 0 || !strings.Contains(describeResult(r), want) || len(r.Items) > 0 {
		t.Errorf("%s:\n got %.300s\nwant %s", kustomization, describeResult(r), want)
	}
}
