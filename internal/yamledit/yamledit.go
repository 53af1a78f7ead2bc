// Package yamledit changes single fields of YAML files and leaves every other
// byte as it is: comments, order, blank lines, quotes. A change that shows more
// than was meant is one that nobody reviews.
//
// It promises that a file it returns was read again and holds what was asked for.
package yamledit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// ErrLayout says that a file is written in a way that is not edited here.
var ErrLayout = errors.New("it is written in a way that is not edited automatically")

// File is a YAML file of one document or several.
type File struct {
	text []byte
	docs []*yaml.Node
}

// Document is one of them.
type Document struct {
	file  *File
	index int
}

// Parse reads a file.
func Parse(text []byte) (*File, error) {
	f := &File{text: text}
	for in := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var doc yaml.Node
		if err := in.Decode(&doc); errors.Is(err, io.EOF) {
			return f, nil
		} else if err != nil {
			return nil, err
		}
		f.docs = append(f.docs, &doc)
	}
}

// Documents are all of the file, in order.
func (f *File) Documents() []Document {
	docs := make([]Document, len(f.docs))
	for i := range docs {
		docs[i] = Document{f, i}
	}
	return docs
}

// Get is the scalar at a path of keys, "" if there is none. A key [name=main] is the
// entry of a list that says so.
func (d Document) Get(path ...string) string {
	if at := d.find(path); len(at.missing) == 0 && at.value.Kind == yaml.ScalarNode {
		return at.value.Value
	}
	return ""
}

// Set returns the file with a scalar at a path, which is made if it is not there.
// Text is the scalar as it stands in YAML, with its quotes.
func (d Document) Set(text string, path ...string) ([]byte, error) {
	at := d.find(path)
	var edited []byte
	if len(at.missing) == 0 {
		start, end, err := d.file.token(at.value)
		if err != nil {
			return nil, err
		}
		edited = d.file.splice(start, end, text)
	} else {
		start, insert, err := d.insertion(at, text)
		if err != nil {
			return nil, err
		}
		edited = d.file.splice(start, start, insert)
	}
	return edited, d.holds(edited, text, path)
}

// SetString is Set for a text, in the quotes that it has there, or in those that it
// needs.
func (d Document) SetString(value string, path ...string) ([]byte, error) {
	text, at := value, d.find(path)
	there := len(at.missing) == 0
	switch {
	case there && at.value.Style&yaml.SingleQuotedStyle != 0:
		text = "'" + strings.ReplaceAll(value, "'", "''") + "'"
	case there && at.value.Style&yaml.DoubleQuotedStyle != 0 || !plain(value):
		text = strconv.Quote(value)
	}
	return d.Set(text, path...)
}

// plain tells whether a text means itself without quotes, within braces too.
func plain(value string) bool {
	var is any
	err := yaml.Unmarshal([]byte(value), &is)
	return err == nil && is == value && !strings.ContainsAny(value, "{}[],")
}

// holds reads an edited file again.
func (d Document) holds(edited []byte, text string, path []string) error {
	var want string
	if err := yaml.Unmarshal([]byte(text), &want); err != nil {
		return err
	}
	again, err := Parse(edited)
	if err != nil || len(again.docs) != len(d.file.docs) || (Document{again, d.index}).Get(path...) != want {
		return ErrLayout
	}
	return nil
}

// place is how far a path leads into a document.
type place struct {
	key, value *yaml.Node // the last that are there; key is nil at the root
	missing    []string   // what is not
	next       int        // line of the first key after it, 0 at the end
}

func (d Document) find(path []string) place {
	at := place{value: d.file.docs[d.index]}
	if at.value.Kind == yaml.DocumentNode && len(at.value.Content) > 0 {
		at.value = at.value.Content[0]
	}
	for i, name := range path {
		key, value, next := entry(at.value, name)
		if value == nil {
			at.missing = path[i:]
			return at
		}
		if next > 0 {
			at.next = next
		}
		at.key, at.value = key, value
	}
	return at
}

// entry finds a key of a mapping, and the line of the key after it.
func entry(mapping *yaml.Node, name string) (key, value *yaml.Node, next int) {
	if mapping.Kind == yaml.SequenceNode {
		return item(mapping, name)
	}
	if mapping.Kind != yaml.MappingNode {
		return nil, nil, 0
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value != name {
			continue
		}
		if i+2 < len(mapping.Content) {
			next = mapping.Content[i+2].Line
		}
		return mapping.Content[i], mapping.Content[i+1], next
	}
	return nil, nil, 0
}

// item finds a mapping of a list by what stands in it: [name=main]. Its key is the
// first of its own.
func item(list *yaml.Node, which string) (key, value *yaml.Node, next int) {
	name, want, ok := strings.Cut(strings.Trim(which, "[]"), "=")
	if !ok || !isItem(which) {
		return nil, nil, 0
	}
	for i, mapping := range list.Content {
		if _, is, _ := entry(mapping, name); is == nil || is.Value != want {
			continue
		}
		if i+1 < len(list.Content) {
			next = list.Content[i+1].Line
		}
		return mapping.Content[0], mapping, next
	}
	return nil, nil, 0
}

func isItem(key string) bool { return strings.HasPrefix(key, "[") }

// insertion is where keys that are missing go, and how they are written: at the
// front of their mapping, where nothing that is written over several lines is in
// the way.
func (d Document) insertion(at place, text string) (offset int, insert string, err error) {
	switch m := at.value; {
	case m.Kind != yaml.MappingNode || m.Line == 0 || slices.ContainsFunc(at.missing, isItem):
		return 0, "", ErrLayout
	case m.Style&yaml.FlowStyle != 0:
		for i := len(at.missing) - 1; i > 0; i-- {
			text = "{" + at.missing[i] + ": " + text + "}"
		}
		if insert = at.missing[0] + ": " + text; len(m.Content) > 0 {
			insert += ", "
		}
		offset = d.file.offset(m.Line, m.Column) + len("{")
		return offset, insert, nil
	case at.key == nil || len(m.Content) == 0:
		return 0, "", ErrLayout
	default:
		indent := strings.Repeat(" ", m.Content[0].Column-1)
		for i, name := range at.missing {
			insert += indent + strings.Repeat("  ", i) + name + ":"
			if i < len(at.missing)-1 {
				insert += "\n"
			}
		}
		return d.file.offset(at.key.Line+1, 1), insert + " " + text + "\n", nil
	}
}

// token is where a scalar of one line stands.
func (f *File) token(n *yaml.Node) (start, end int, err error) {
	if n.Kind != yaml.ScalarNode || n.Line == 0 {
		return 0, 0, ErrLayout
	}
	start = f.offset(n.Line, n.Column)
	line, _, _ := bytes.Cut(f.text[start:], []byte("\n"))
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		end = closing(line, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		end = closing(line, '\'')
	case bytes.HasPrefix(line, []byte(n.Value)) && n.Value != "":
		end = len(n.Value)
	}
	if end == 0 {
		return 0, 0, fmt.Errorf("line %d: %w", n.Line, ErrLayout)
	}
	return start, start + end, nil
}

// closing is behind the quote that ends what begins with one; 0 if none does.
func closing(line []byte, quote byte) int {
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] == '\\' && quote == '"':
			i++
		case line[i] == quote && quote == '\'' && i+1 < len(line) && line[i+1] == quote:
			i++
		case line[i] == quote:
			return i + 1
		}
	}
	return 0
}

// offset of a line and column, both from 1; columns are counted in characters.
func (f *File) offset(line, column int) int {
	at := 0
	for ; line > 1; line-- {
		i := bytes.IndexByte(f.text[at:], '\n')
		if i < 0 {
			return len(f.text)
		}
		at += i + 1
	}
	for n := range string(f.text[at:]) {
		if column--; column == 0 {
			return at + n
		}
	}
	return len(f.text)
}

func (f *File) splice(start, end int, text string) []byte {
	return bytes.Join([][]byte{f.text[:start], []byte(text), f.text[end:]}, nil)
}
