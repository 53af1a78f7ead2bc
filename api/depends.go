package api

import (
	"fmt"
	"slices"
	"strings"
)

// Dependencies are the HotPatches that this one waits for, as "namespace/name".
func (h HotPatch) Dependencies() (keys []string) {
	for _, name := range h.Spec.DependsOn {
		if !strings.Contains(name, "/") {
			name = h.Metadata.Namespace + "/" + name
		}
		keys = append(keys, name)
	}
	return keys
}

func (v *validation) dependsOn(h HotPatch) {
	keys := h.Dependencies()
	for i, key := range keys {
		field := fmt.Sprintf("spec.dependsOn[%d]", i)
		namespace, name, _ := strings.Cut(key, "/")
		v.check(namePattern.MatchString(namespace) && namePattern.MatchString(name), field, "want the name of a HotPatch, or namespace/name, got %q", h.Spec.DependsOn[i])
		v.check(key != h.Key(), field, "a HotPatch cannot wait for itself")
		v.check(!slices.Contains(keys[:i], key), field, "%q stands here twice", h.Spec.DependsOn[i])
	}
}
