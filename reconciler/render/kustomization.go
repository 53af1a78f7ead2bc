package render

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/api"
)

// kustomization is a kustomization file, read only as far as it names others.
type kustomization struct {
	file   string
	fields map[string]any
}

// reference is a field of a kustomization that names a file or directory.
type reference struct{ field, to string }

// read reads the kustomization of a directory.
func (r *repository) read(dir string) (*kustomization, error) {
	k := &kustomization{file: r.kustomization(dir)}
	content, err := r.yaml(k.file)
	if err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(content, &k.fields); err != nil {
		return nil, &api.Error{File: k.file, Reason: strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")}
	}
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
	content, err := r.src.Read(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
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

// pathFields are the fields that hold paths, as lists of strings.
var pathFields = []string{"resources", "bases", "components", "crds", "configurations", "generators", "transformers", "validators", "patchesStrategicMerge"}

// forbidden are the fields that reach out of the repository, or change how
// other builds are done.
var forbidden = map[string]string{
	"helmCharts":                  "Helm charts are not rendered; commit what they render to",
	"helmChartInflationGenerator": "Helm charts are not rendered; commit what they render to",
	"openapi":                     "openapi would change how every other build is done; leave it out",
}

// references are all paths that the kustomization names.
func (k *kustomization) references() []reference {
	var refs []reference
	add := func(field string, value any) {
		if text, ok := value.(string); ok && text != "" && !strings.Contains(text, "\n") {
			refs = append(refs, reference{field, text})
		}
	}
	for _, field := range pathFields {
		for i, value := range list(k.fields[field]) {
			add(fmt.Sprintf("%s[%d]", field, i), value)
		}
	}
	for _, field := range []string{"patches", "patchesJson6902", "replacements"} {
		for i, value := range list(k.fields[field]) {
			add(fmt.Sprintf("%s[%d].path", field, i), fieldsOf(value)["path"])
		}
	}
	for _, field := range []string{"configMapGenerator", "secretGenerator"} {
		for i, value := range list(k.fields[field]) {
			for _, kind := range []string{"files", "envs"} {
				for j, file := range list(fieldsOf(value)[kind]) {
					text, _ := file.(string)
					add(fmt.Sprintf("%s[%d].%s[%d]", field, i, kind, j), text[strings.Index(text, "=")+1:])
				}
			}
		}
	}
	return refs
}

// check refuses what is not inside the repository.
func (k *kustomization) check(r *repository, dir string) error {
	for field, reason := range forbidden {
		if k.fields[field] != nil {
			return &api.Error{File: k.file, Field: field, Reason: reason}
		}
	}
	for _, ref := range k.references() {
		target := path.Join(dir, ref.to)
		r.touch(target)
		file, isFile := r.files[target]
		switch {
		case isFile && file.Kind != Regular:
			return &api.Error{File: k.file, Field: ref.field, Reason: target + " is a symlink or submodule, which are not followed"}
		case !isFile && r.dirs[target] == nil && remote(ref.to):
			return &api.Error{File: k.file, Field: ref.field, Reason: ref.to + " is not in this repository; nothing is fetched from elsewhere"}
		case !isFile && r.dirs[target] == nil:
			return &api.Error{File: k.file, Field: ref.field, Reason: "there is no " + ref.to + " here"}
		}
	}
	return nil
}

func remote(to string) bool {
	return strings.Contains(to, "://") || strings.Contains(to, "@") || strings.Contains(to, "?ref=") || strings.HasPrefix(to, "github.com/")
}

func list(value any) []any {
	l, _ := value.([]any)
	return l
}

func fieldsOf(value any) map[string]any {
	m, _ := value.(map[string]any)
	return m
}
