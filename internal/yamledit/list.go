package yamledit

import (
	"bytes"
	"slices"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Append returns the file with a scalar at the end of a list that has items already,
// written as the last of them is.
func (d Document) Append(text string, path ...string) ([]byte, error) {
	items, flow, err := d.items(path)
	if err != nil {
		return nil, err
	}
	last := items[len(items)-1]
	start, end, err := d.file.token(last)
	if err != nil {
		return nil, err
	}
	if flow {
		return d.listed(d.file.splice(end, end, ", "+text), path, append(values(items), text))
	}
	line := d.file.offset(last.Line, 1)
	next := d.file.offset(last.Line+1, 1)
	insert := string(d.file.text[line:start]) + text + "\n"
	if next == len(d.file.text) && !bytes.HasSuffix(d.file.text, []byte("\n")) {
		insert = "\n" + insert
	}
	return d.listed(d.file.splice(next, next, insert), path, append(values(items), text))
}

// Remove returns the file without a scalar of a list that has others.
func (d Document) Remove(value string, path ...string) ([]byte, error) {
	items, flow, err := d.items(path)
	i := slices.IndexFunc(items, func(n *yaml.Node) bool { return n.Value == value })
	if err != nil || i < 0 || len(items) == 1 {
		return nil, ErrLayout
	}
	left := slices.Delete(values(items), i, i+1)
	if !flow {
		return d.listed(d.file.splice(d.file.offset(items[i].Line, 1), d.file.offset(items[i].Line+1, 1), ""), path, left)
	}
	from, to, err := d.file.token(items[i])
	if err != nil {
		return nil, err
	}
	if i > 0 { // with the comma before it, or else the one after it
		if _, from, err = d.file.token(items[i-1]); err != nil {
			return nil, err
		}
	} else if to, _, err = d.file.token(items[1]); err != nil {
		return nil, err
	}
	return d.listed(d.file.splice(from, to, ""), path, left)
}

// items of a list of scalars that is not empty, and whether it is written in
// brackets.
func (d Document) items(path []string) (items []*yaml.Node, flow bool, err error) {
	at := d.find(path)
	if len(at.missing) > 0 || at.value.Kind != yaml.SequenceNode || len(at.value.Content) == 0 {
		return nil, false, ErrLayout
	}
	for _, n := range at.value.Content {
		if n.Kind != yaml.ScalarNode {
			return nil, false, ErrLayout
		}
	}
	return at.value.Content, at.value.Style&yaml.FlowStyle != 0, nil
}

func values(items []*yaml.Node) (values []string) {
	for _, n := range items {
		values = append(values, n.Value)
	}
	return values
}

// listed reads an edited file again.
func (d Document) listed(edited []byte, path, want []string) ([]byte, error) {
	again, err := Parse(edited)
	if err != nil || len(again.docs) != len(d.file.docs) {
		return nil, ErrLayout
	}
	items, _, err := Document{again, d.index}.items(path)
	if err != nil || !slices.Equal(values(items), want) {
		return nil, ErrLayout
	}
	return edited, nil
}
