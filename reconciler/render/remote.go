package render

import (
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/api"
)

// elsewhere is how a path begins that kustomize would ask another machine for, or
// have git do it, by any of the spellings that it takes.
var elsewhere = regexp.MustCompile(`(?i)^(git::|https?:|ssh:|file:|[a-z][a-z0-9+.-]*://|([a-z][a-z0-9-]*@)?github\.com[/:]|[a-z][a-z0-9-]*@[^/]*[/:])`)

func remote(to string) bool {
	return elsewhere.MatchString(to) || strings.Contains(to, "://") || strings.Contains(to, "?ref=")
}

// pathKeys are where generators and transformers, which are objects themselves, name
// files.
var pathKeys = []string{"path", "paths", "file", "files", "env", "envs"}

// checkPlugin refuses the configuration of a generator or transformer that names what
// is not inside the repository.
func checkPlugin(file, field string, content []byte) error {
	for doc := range strings.SplitSeq("\n"+string(content), "\n---") {
		var config any
		if err := yaml.Unmarshal([]byte(doc), &config); err != nil {
			return &api.Error{File: file, Field: field, Reason: err.Error()}
		}
		if to := remoteIn(config, false); to != "" {
			return &api.Error{File: file, Field: field, Reason: to + " is not in this repository; nothing is fetched from elsewhere"}
		}
	}
	return nil
}

// remoteIn is something remote that a value names, "" if there is nothing.
func remoteIn(value any, isPath bool) string {
	switch v := value.(type) {
	case string:
		if to := v[strings.Index(v, "=")+1:]; isPath && (remote(to) || remote(v)) {
			return v
		}
	case []any:
		for _, entry := range v {
			if to := remoteIn(entry, isPath); to != "" {
				return to
			}
		}
	case map[string]any:
		for key, entry := range v {
			if to := remoteIn(entry, namesFiles(key)); to != "" {
				return to
			}
		}
	}
	return ""
}

func namesFiles(key string) bool {
	for _, name := range pathKeys {
		if strings.EqualFold(name, key) {
			return true
		}
	}
	return false
}
