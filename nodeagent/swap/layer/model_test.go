package layer

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
)

// node is a file of the model. Own: a directory that the container made.
type node struct {
	kind     byte // d, f, l
	text     string
	mode     uint32
	uid      int
	own      bool
	children map[string]*node
}

func newNode(kind byte) *node {
	return &node{kind: kind, mode: map[byte]uint32{'d': 0o755, 'f': 0o644, 'l': 0o777}[kind], children: map[string]*node{}}
}

func (n *node) clone() *node {
	if n == nil {
		return nil
	}
	out := *n
	out.children = map[string]*node{}
	for name, child := range n.children {
		out.children[name] = child.clone()
	}
	return &out
}

func (n *node) isDir() bool { return n != nil && n.kind == 'd' }

func (n *node) child(name string) *node {
	if !n.isDir() {
		return nil
	}
	return n.children[name]
}

// files is how write takes them.
func (n *node) files(at string) map[string]string {
	out := map[string]string{}
	for name, child := range n.children {
		switch name = path.Join(at, name); child.kind {
		case 'd':
			out[name+"/"] = ""
			maps.Copy(out, child.files(name))
		case 'l':
			out[name] = "→ " + child.text
		default:
			out[name] = child.text
		}
	}
	return out
}

// lines is how tree describes them.
func (n *node) lines() map[string]string {
	out := map[string]string{}
	for name, child := range n.children {
		switch child.kind {
		case 'd':
			out[name] = fmt.Sprintf("4%04o %d:0", child.mode, child.uid)
			for below, line := range child.lines() {
				out[path.Join(name, below)] = line
			}
		case 'l':
			out[name] = fmt.Sprintf("120777 %d:0 → %s", child.uid, child.text)
		default:
			out[name] = fmt.Sprintf("10%04o %d:0 %q", child.mode, child.uid, child.text)
		}
	}
	for name, line := range out {
		if line[0] == '4' { // as %o writes it
			out[name] = fmt.Sprintf("40%s", line[2:])
		}
	}
	return out
}

// merge says what the new root should be: is, measured against was, on image.
func merge(is, was, image *node) (*node, error) {
	switch {
	case is == nil && was == nil:
		return image, nil
	case is == nil && image != nil && image.isDir() != was.isDir():
		return nil, errors.New("another kind")
	case is == nil:
		return nil, nil
	case is.isDir():
		return mergeDir(is, was, image)
	case was != nil && is.kind == was.kind && is.text == was.text:
		return adjusted3(is, was, image), nil
	}
	return is, fits(image, was)
}

// fits: a directory of the image is replaced only if the old image had one.
func fits(image, was *node) error {
	if image.isDir() && !was.isDir() {
		return errors.New("another kind")
	}
	return nil
}

func adjusted3(is, was, image *node) *node {
	if image == nil || image.kind != is.kind {
		return image
	}
	out := image.clone()
	if is.mode != was.mode {
		out.mode = is.mode
	}
	if is.uid != was.uid {
		out.uid = is.uid
	}
	return out
}

func mergeDir(is, was, image *node) (*node, error) {
	replaces := is.own && was.isDir()
	switch {
	case image != nil && !image.isDir() && (was == nil || replaces):
		return nil, errors.New("another kind")
	case replaces || is.own && !image.isDir():
		return is, nil
	case is.own:
		return mergeChildren(&node{kind: 'd', mode: is.mode, uid: is.uid}, is, nil, image)
	}
	out := adjusted3(is, was, image)
	merged, err := mergeChildren(&node{kind: 'd'}, is, was, image)
	switch {
	case err != nil:
		return nil, err
	case image.isDir():
		out.children = merged.children
		return out, nil
	case len(merged.children) == 0: // nothing that needs the directory
		return out, nil
	case image != nil:
		return nil, errors.New("another kind")
	}
	return &node{kind: 'd', mode: is.mode, uid: is.uid, children: merged.children}, nil
}

func mergeChildren(out, is, was, image *node) (*node, error) {
	out.children = map[string]*node{}
	names := map[string]bool{}
	for _, n := range []*node{is, was, image} {
		if n.isDir() {
			for name := range n.children {
				names[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		child, err := merge(is.child(name), was.child(name), image.child(name))
		if err != nil {
			return nil, err
		}
		if child != nil {
			out.children[name] = child
		}
	}
	return out, nil
}
