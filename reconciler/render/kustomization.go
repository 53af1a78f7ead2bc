package render

//lint:file-ignore SA1019 what is deprecated is still in people's kustomizations

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/api"
)

// kustomization is a kustomization file as kustomize itself decodes it: a field that
// is spelled Resources is resources to both.
type kustomization struct {
	types.Kustomization
	file    string
	content []byte
}

// reference is an entry of a field that names a file or directory.
type reference struct{ field, to string }

// read reads the kustomization of a directory. What is of a wrong type is left out:
// the build says so, and until it is mended it is known which others are named.
func (r *repository) read(dir string) (*kustomization, error) {
	k := &kustomization{file: r.kustomization(dir)}
	content, err := r.yaml(k.file)
	if err != nil {
		return nil, err
	}
	asJSON, err := yaml.YAMLToJSON(content)
	if err != nil {
		return nil, &api.Error{File: k.file, Reason: strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")}
	}
	var mistyped *json.UnmarshalTypeError
	if err := json.Unmarshal(asJSON, &k.Kustomization); err != nil && !errors.As(err, &mistyped) {
		return nil, &api.Error{File: k.file, Reason: err.Error()}
	}
	k.content = content
	return k, nil
}

// yaml reads a file of bounded size and checks that it is YAML, because
// kustomize's errors about that name no line.
func (r *repository) yaml(name string) ([]byte, error) {
	r.touch(name)
	f := r.files[name]
	if f.Kind != Regular {
		return nil, &api.Error{File: name, Reason: "is a symlink or submodule, which are not followed"}
	}
	if f.Size > maxYAML {
		return nil, &api.Error{File: name, Reason: fmt.Sprintf("has %d bytes; at most %d are rendered", f.Size, maxYAML)}
	}
	content, err := read(r.src, name)
	if err != nil {
		return nil, &api.Error{File: name, Reason: strings.TrimPrefix(err.Error(), name+" ")}
	}
	if !isYAML(name) && path.Base(name) != "Kustomization" {
		return content, nil
	}
	lines := -1 // the newline put in front of the first document is none of the file's
	for doc := range strings.SplitSeq("\n"+string(content), "\n---") {
		if _, err := yaml.YAMLToJSON([]byte(doc)); err != nil {
			return nil, &api.Error{File: name, Reason: syntaxError(err, lines)}
		}
		lines += strings.Count(doc, "\n") + 1
	}
	return content, nil
}

// syntaxError counts the lines of the documents before the bad one in.
func syntaxError(err error, before int) string {
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "yaml: ")
	var line int
	if _, scanErr := fmt.Sscanf(text, "line %d:", &line); scanErr == nil {
		_, rest, _ := strings.Cut(text, ":")
		return fmt.Sprintf("line %d:%s", before+line, rest)
	}
	return text
}

// references are all paths that the kustomization names.
func (k *kustomization) references() (refs []reference) {
	add := func(field, to string) {
		if to != "" && !strings.Contains(to, "\n") {
			refs = append(refs, reference{field, to})
		}
	}
	each := func(field string, paths []string) {
		for i, to := range paths {
			add(fmt.Sprintf("%s[%d]", field, i), to)
		}
	}
	each("resources", k.Resources)
	each("bases", k.Bases)
	each("components", k.Components)
	each("crds", k.Crds)
	each("configurations", k.Configurations)
	each("generators", k.Generators)
	each("transformers", k.Transformers)
	each("validators", k.Validators)
	for i, patch := range k.PatchesStrategicMerge {
		add(fmt.Sprintf("patchesStrategicMerge[%d]", i), string(patch))
	}
	for i, patch := range k.Patches {
		add(fmt.Sprintf("patches[%d].path", i), patch.Path)
	}
	for i, patch := range k.PatchesJson6902 {
		add(fmt.Sprintf("patchesJson6902[%d].path", i), patch.Path)
	}
	for i, replacement := range k.Replacements {
		add(fmt.Sprintf("replacements[%d].path", i), replacement.Path)
	}
	pairs := func(field string, from types.KvPairSources) {
		for i, file := range from.FileSources {
			add(fmt.Sprintf("%s.files[%d]", field, i), file[strings.Index(file, "=")+1:])
		}
		each(field+".envs", from.EnvSources)
		add(field+".env", from.EnvSource)
	}
	for i, g := range k.ConfigMapGenerator {
		pairs(fmt.Sprintf("configMapGenerator[%d]", i), g.KvPairSources)
	}
	for i, g := range k.SecretGenerator {
		pairs(fmt.Sprintf("secretGenerator[%d]", i), g.KvPairSources)
	}
	return refs
}

// check refuses what is not inside the repository, or would change how other builds
// are done.
func (k *kustomization) check(r *repository, dir string) error {
	const helm = "Helm charts are not rendered; commit what they render to"
	switch {
	case k.HelmCharts != nil:
		return &api.Error{File: k.file, Field: "helmCharts", Reason: helm}
	case k.HelmChartInflationGenerator != nil:
		return &api.Error{File: k.file, Field: "helmChartInflationGenerator", Reason: helm}
	case k.OpenAPI != nil:
		return &api.Error{File: k.file, Field: "openapi", Reason: "openapi would change how every other build is done; leave it out"}
	}
	for _, ref := range k.references() {
		if err := r.checkReference(dir, ref); err != "" {
			return &api.Error{File: k.file, Field: ref.field, Reason: err}
		}
	}
	return nil
}

// checkReference says what is wrong with a reference, "" if nothing is. That it is
// not remote comes first: kustomize asks elsewhere for what looks so though there is
// such a file or directory here.
func (r *repository) checkReference(dir string, ref reference) string {
	target := path.Join(dir, ref.to)
	r.touch(target)
	file, isFile := r.files[target]
	switch {
	case remote(ref.to):
		return ref.to + " is not in this repository; nothing is fetched from elsewhere"
	case isFile && file.Kind != Regular:
		return target + " is a symlink or submodule, which are not followed"
	case r.dirs[target] != nil && ref.ofPlugins():
		return ref.to + " is a directory, whose patches could have them fetch anything; name the files in it"
	case !isFile && r.dirs[target] == nil:
		return "there is no " + ref.to + " here"
	}
	return ""
}
