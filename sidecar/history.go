package sidecar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxHistory is how many versions one pod keeps in the ConfigMap, which all
// pods share and which may have 1 MiB.
const maxHistory = 20

// origin is the existing sidecar's first line, for the file in the image.
var origin = applied{Version: "OriginVersion", URL: "OriginUrl"}

// history is a pod's key in the ConfigMap: the existing sidecar's map of
// versions to URLs, in the order in which they were applied. That the last one
// is what runs is what makes a rollback survive a new pod.
type history []applied

// parseHistory reads a key's value; "" is the history of a new pod.
func parseHistory(value string) (history, error) {
	if value == "" {
		return history{origin}, nil
	}
	var doc struct {
		HotUpdate yaml.Node `yaml:"hot_update"`
	}
	if err := yaml.Unmarshal([]byte(value), &doc); err != nil {
		return history{origin}, fmt.Errorf("read the record of earlier updates: %w", err)
	}
	var h history
	nodes := doc.HotUpdate.Content
	for i := 0; i+1 < len(nodes); i += 2 {
		var a applied
		if err := errors.Join(nodes[i].Decode(&a.Version), nodes[i+1].Decode(&a.URL)); err != nil {
			return history{origin}, fmt.Errorf("read the record of earlier updates: %w", err)
		}
		h = append(h, a)
	}
	return h, nil
}

// String is the key's value as the existing sidecar writes it.
func (h history) String() string {
	versions := &yaml.Node{Kind: yaml.MappingNode}
	for _, a := range h {
		versions.Content = append(versions.Content, text(a.Version), text(a.URL))
	}
	doc := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text(pluginName), versions}}
	out, _ := yaml.Marshal(doc) // strings in maps: cannot fail
	return string(out)
}

// text is a string as it is read back. What is not printed is escaped: the
// library would write a line of tabs as a block that it cannot read.
func text(value string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(value)
	if strings.ContainsFunc(value, unicode.IsControl) && utf8.ValidString(value) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// with is the history after a was applied.
func (h history) with(a applied) history {
	out := slices.DeleteFunc(slices.Clone(h), func(old applied) bool { return old.Version == a.Version })
	out = append(out, a)
	if extra := len(out) - maxHistory; extra > 0 {
		keep := 0
		if out[0] == origin {
			keep = 1
		}
		out = slices.Delete(out, keep, keep+extra)
	}
	return out
}

// latest are the files that the history can bring back: for each file name the
// URL applied last.
func (h history) latest() []ask {
	var asks []ask
	for _, a := range h {
		got := ask{version: a.Version, url: a.URL}
		if a == origin || got.findPath() != nil {
			continue
		}
		asks = slices.DeleteFunc(asks, func(old ask) bool { return old.path == got.path })
		asks = append(asks, got)
	}
	return asks
}
