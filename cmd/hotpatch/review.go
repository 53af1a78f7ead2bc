package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// review is what a pull request would change, in the words that its JSON has.
type review struct {
	// Base is the commit that Head went out from.
	Base    string     `json:"base"`
	Head    string     `json:"head"`
	Changes []reviewed `json:"changes"`
	// Refused is what would not be done at all: its last good version stays.
	Refused []refusal `json:"refused"`
}

// reviewed is one HotPatch on one cluster; Cluster is "" where none is recorded.
type reviewed struct {
	HotPatch string `json:"hotpatch"`
	Cluster  string `json:"cluster,omitempty"`
	File     string `json:"file"`
	// Change is added, changed or removed.
	Change     string        `json:"change"`
	Containers []part        `json:"containers,omitempty"`
	Files      []part        `json:"files,omitempty"`
	Fields     []fieldChange `json:"fields,omitempty"`
	// Revision that pods would be on; "": not known, as a digest is not.
	Revision string `json:"revision,omitempty"`
	// Pods that would change; nil: not known.
	Pods  *course  `json:"pods,omitempty"`
	Holds []string `json:"holds,omitempty"`
	Notes []string `json:"notes,omitempty"`
}

// part is a container's image, or a file, before and after; a zero edition is none.
type part struct {
	Name string  `json:"name"`
	From edition `json:"from,omitzero"`
	To   edition `json:"to,omitzero"`
}

// edition is what Git calls it, and its digest where that is known.
type edition struct {
	Name   string `json:"name"`
	Digest string `json:"digest,omitempty"`
}

// fieldChange is anything else that a HotPatch says; "" is unset.
type fieldChange struct {
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// refusal is one thing that would be refused.
type refusal struct {
	File   string `json:"file,omitempty"`
	Object string `json:"object,omitempty"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

func (r refusal) String() string {
	return (&api.Error{File: r.File, Object: r.Object, Field: r.Field, Reason: r.Reason}).Error()
}

// refusals of an error, which may be several.
func refusals(err error) (all []refusal) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			all = append(all, refusals(one)...)
		}
		return all
	}
	var told *api.Error
	if errors.As(err, &told) {
		return []refusal{{told.File, told.Object, told.Field, told.Reason}}
	}
	return []refusal{{Reason: err.Error()}}
}

// side is what one of two commits asks for.
type side struct {
	render.Result
	items map[string]render.Item // by HotPatch
}

func sideOf(found render.Result) side {
	s := side{found, map[string]render.Item{}}
	for _, item := range found.Items {
		s.items[item.HotPatch.Key()] = item
	}
	return s
}

// unread tells whether a commit may have something that could not be read there.
func (s side) unread(item render.Item) bool {
	return s.Broken[item.HotPatch.Key()] != nil || slices.Contains(s.Failed, item.Root)
}

// changed are the HotPatches that two commits do not have alike, by name. What
// cannot be read in the newer one keeps its last good version, and is none of them.
func changed(base, head side) (keys []string) {
	all := map[string]bool{}
	for key := range base.items {
		all[key] = true
	}
	for key := range head.items {
		all[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		before, was := base.items[key]
		after, is := head.items[key]
		switch {
		case was && is && maps.Equal(base.says(before), head.says(after)) && slices.Equal(pinFiles(before), pinFiles(after)):
		case !is && head.unread(before):
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

// says is all that a HotPatch says, by field, and what holds it.
func (s side) says(item render.Item) map[string]string {
	said := map[string]string{}
	if by := suspendedBy(s.Result, item.HotPatch.Metadata.Namespace); by != "" {
		said["suspended by"] = by
	}
	if promotion := item.HotPatch.Metadata.Annotations[api.PromoteAnnotation]; promotion != "" {
		said["metadata.annotations."+api.PromoteAnnotation] = promotion
	}
	spec, _ := json.Marshal(item.HotPatch.Spec) // plain structs: cannot fail
	var tree any
	_ = json.Unmarshal(spec, &tree) // which we made ourselves
	flatten("spec", tree, said)
	return said
}

// flatten lists the leaves of a tree by path. Objects of a list are called by their
// name, or path, so that one which moves does not look like another.
func flatten(at string, tree any, into map[string]string) {
	switch node := tree.(type) {
	case map[string]any:
		if len(node) == 0 {
			into[at] = "{}"
		}
		for name, below := range node {
			flatten(at+"."+name, below, into)
		}
	case []any:
		for i, below := range node {
			flatten(fmt.Sprintf("%s[%s]", at, calledIn(below, i)), below, into)
		}
	default:
		into[at] = fmt.Sprint(node)
	}
}

func calledIn(entry any, i int) string {
	object, _ := entry.(map[string]any)
	for _, key := range []string{"name", "path"} {
		if name, ok := object[key].(string); ok {
			return name
		}
	}
	return fmt.Sprint(i)
}

// otherFields are those that differ, but for images and files, which are told with
// their digests.
func otherFields(before, after map[string]string) (fields []fieldChange) {
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, field := range slices.Sorted(maps.Keys(all)) {
		if before[field] != after[field] && !toldByDigest(field) {
			fields = append(fields, fieldChange{field, before[field], after[field]})
		}
	}
	return fields
}

func toldByDigest(field string) bool {
	container := strings.HasPrefix(field, "spec.containers[")
	return strings.HasPrefix(field, "spec.files[") || container && (strings.HasSuffix(field, "].image") || strings.HasSuffix(field, "].name"))
}

// parts are those that differ, by name.
func parts(before, after map[string]edition) (differ []part) {
	all := maps.Clone(after)
	maps.Copy(all, before)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if before[name] != after[name] {
			differ = append(differ, part{name, before[name], after[name]})
		}
	}
	return differ
}

func fileEditions(item render.Item) map[string]edition {
	editions := map[string]edition{}
	for _, f := range pinFiles(item) {
		editions[f.Path] = edition{f.Version, "sha256:" + f.SHA256}
	}
	return editions
}
