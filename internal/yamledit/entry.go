package yamledit

import (
	"bytes"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Entry is a key with all that it holds, in whole lines as they are written; ""
// if it is not there.
func (d Document) Entry(path ...string) (string, error) {
	start, end, err := d.lines(path)
	return string(d.file.text[start:end]), err
}

// SetEntry returns the file with a key, and all that it holds, replaced by lines
// that Entry has returned of another version of the file; "" takes it out.
func (d Document) SetEntry(text string, path ...string) ([]byte, error) {
	start, end, err := d.lines(path)
	if err != nil {
		return nil, err
	}
	indent, err := d.indent(path)
	if err != nil {
		return nil, err
	}
	if text, err = shift(text, indent); err != nil {
		return nil, err
	}
	edited := d.file.splice(start, end, text)
	if again, err := Parse(edited); err != nil || len(again.docs) != len(d.file.docs) {
		return nil, ErrLayout
	}
	return edited, nil
}

// lines are where an entry stands; of one that is missing, where it would.
func (d Document) lines(path []string) (start, end int, err error) {
	at, around := d.find(path), d.find(path[:len(path)-1])
	if len(around.missing) > 0 || around.key == nil || around.value.Kind != yaml.MappingNode || around.value.Style&yaml.FlowStyle != 0 {
		return 0, 0, ErrLayout
	}
	if len(at.missing) > 0 {
		start = d.file.offset(around.key.Line+1, 1)
		return start, start, nil
	}
	start = d.file.offset(at.key.Line, 1)
	end = len(d.file.text)
	if at.next > 0 {
		end = d.file.offset(at.next, 1)
	}
	return start, start + len(own(d.file.text[start:end])), nil
}

// own is an entry without what stands after it: another document, blank lines,
// comments on what follows.
func own(text []byte) []byte {
	size, read := 0, 0
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("---")) || bytes.HasPrefix(line, []byte("...")) {
			break
		}
		read += len(line)
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' {
			size = read
		}
	}
	return text[:size]
}

// indent is how far the keys beside a path are indented.
func (d Document) indent(path []string) (int, error) {
	around := d.find(path[:len(path)-1]).value
	if len(around.Content) == 0 {
		return 0, ErrLayout
	}
	return around.Content[0].Column - 1, nil
}

// shift has lines begin at an indentation, and those below them likewise.
func shift(text string, indent int) (string, error) {
	if text == "" {
		return "", nil
	}
	before := len(text) - len(strings.TrimLeft(text, " "))
	var out strings.Builder
	for line := range strings.Lines(text) {
		switch rest, ok := strings.CutPrefix(line, strings.Repeat(" ", before)); {
		case ok:
			out.WriteString(strings.Repeat(" ", indent) + rest)
		case strings.TrimSpace(line) == "":
			out.WriteString(line)
		default:
			return "", ErrLayout
		}
	}
	if !strings.HasSuffix(text, "\n") {
		out.WriteString("\n")
	}
	return out.String(), nil
}
