package layer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Random images, and random things that a container does to its root, between
// passes; the new root must then be what the model below says.
func TestRandomWrites(t *testing.T) {
	for _, options := range []string{"", "metacopy=on,redirect_dir=on"} {
		t.Run(options, func(t *testing.T) {
			ends := map[string]int{}
			rapid.Check(t, func(rt *rapid.T) { ends[randomWrites(t, rt, options)]++ })
			t.Log(ends)
			if ends["copied"] == 0 || ends["refused"] == 0 {
				t.Errorf("not every end was met: %v", ends)
			}
		})
	}
}

func randomWrites(t *testing.T, rt *rapid.T, options string) (end string) {
	base, image := newNode('d'), newNode('d')
	for _, tree := range []*node{base, image} {
		for range rapid.IntRange(0, 8).Draw(rt, "files") {
			anImages(rt, tree)
		}
	}
	if rapid.IntRange(0, 4).Draw(rt, "alike") > 0 { // as two versions of one image are
		image = base.clone()
		for range rapid.IntRange(0, 3).Draw(rt, "changes") {
			anImages(rt, image)
		}
	}
	w := newWorld(t, options, base.files(""), image.files(""))
	defer w.end()
	is := &writer{T: rt, w: w, root: base.clone(), redirects: options != ""}
	c, moved := w.copy(plenty), false
	want, wantErr := merge(is.root, base, image)
	for phase := range 3 {
		for range rapid.IntRange(0, 12).Draw(rt, "writes") {
			is.act()
		}
		err := c.Run(t.Context())
		if phase == 2 {
			err = errors.Join(err, c.Finish(t.Context()))
		}
		want, wantErr = merge(is.root, base, image)
		if moved = errors.Is(err, ErrMoved); moved {
			break
		}
		if (err != nil) != (wantErr != nil) {
			rt.Fatalf("phase %d: got %v, want %v\nlog %q\nbase %v\nimage %v", phase, err, wantErr, is.log, base.lines(), image.lines())
		}
		if err != nil {
			return "refused"
		}
	}
	got, err := once(t, w)
	switch {
	case (err != nil) != (wantErr != nil):
		rt.Fatalf("at once: got %v, want %v\nlog %q", err, wantErr, is.log)
	case err != nil:
		return "refused"
	}
	if d := differ(got, want.lines()); d != "" {
		rt.Fatalf("at once: %s\nlog %q\nbase %v\nimage %v", d, is.log, base.lines(), image.lines())
	}
	if moved {
		return "moved"
	}
	if d := differ(tree(t, w.mounts[1]), want.lines()); d != "" {
		rt.Fatalf("in phases: %s\nlog %q\nbase %v\nimage %v", d, is.log, base.lines(), image.lines())
	}
	return "copied"
}

// once copies what there is now in one go.
func once(t *testing.T, w *world) (map[string]string, error) {
	w.anew()
	if err := w.copy(plenty).Finish(t.Context()); err != nil {
		return nil, err
	}
	return tree(t, w.next), nil
}

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

func anImages(rt *rapid.T, root *node) {
	at := root
	for range rapid.IntRange(0, 2).Draw(rt, "depth") {
		name := aName(rt)
		if !at.child(name).isDir() {
			at.children[name] = newNode('d')
		}
		at = at.children[name]
	}
	n := newNode(rapid.SampledFrom([]byte("ffld")).Draw(rt, "kind"))
	if n.kind != 'd' {
		n.text = aText(rt)
	}
	at.children[aName(rt)] = n
}

func aName(rt *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "name") }

func aText(rt *rapid.T) string { return rapid.SampledFrom([]string{"1", "2", "33"}).Draw(rt, "text") }

// writer is the container, on its real root and in the model.
type writer struct {
	*rapid.T
	w         *world
	root      *node
	redirects bool
	log       []string
}

func (w *writer) at(p string) string { return path.Join(w.w.old, p) }

// find is a random path, with the directory that it lies in, if there is one.
func (w *writer) find() (dir *node, name, at string) {
	dir = w.root
	for range rapid.IntRange(0, 2).Draw(w.T, "depth") {
		name = aName(w.T)
		if next := dir.child(name); next.isDir() {
			dir, at = next, path.Join(at, name)
		}
	}
	name = aName(w.T)
	return dir, name, path.Join(at, name)
}

// act does one thing, if it can be done.
func (w *writer) act() {
	dir, name, at := w.find()
	n := dir.children[name]
	did := rapid.SampledFrom([]string{"write", "write", "mkdir", "symlink", "remove", "remove", "chmod", "chown", "rename", "touch", "remake"}).Draw(w.T, "act")
	switch {
	case did == "write" && (n == nil || n.kind == 'f'):
		w.write(dir, name, at)
	case did == "mkdir" && n == nil:
		must(w.w, os.Mkdir(w.at(at), 0o755))
		dir.children[name] = &node{kind: 'd', mode: 0o755, own: true, children: map[string]*node{}}
	case did == "symlink" && n == nil:
		dir.children[name] = newNode('l')
		dir.children[name].text = aText(w.T)
		must(w.w, os.Symlink(dir.children[name].text, w.at(at)))
	case did == "remove" && n != nil:
		must(w.w, os.RemoveAll(w.at(at)))
		delete(dir.children, name)
	case did == "remake" && n.isDir():
		must(w.w, errors.Join(os.RemoveAll(w.at(at)), os.Mkdir(w.at(at), 0o755)))
		dir.children[name] = &node{kind: 'd', mode: 0o755, own: true, children: map[string]*node{}}
	case did == "chmod" && n != nil && n.kind != 'l':
		n.mode = rapid.SampledFrom([]uint32{0o600, 0o644, 0o755}).Draw(w.T, "mode")
		must(w.w, os.Chmod(w.at(at), os.FileMode(n.mode)))
	case did == "chown" && n != nil:
		n.uid = rapid.SampledFrom([]int{0, 7}).Draw(w.T, "uid")
		must(w.w, os.Lchown(w.at(at), n.uid, 0))
	case did == "touch" && n != nil && n.kind == 'f':
		must(w.w, os.WriteFile(w.at(at), []byte(n.text), 0))
	case did == "rename" && n != nil:
		w.rename(dir, name, at)
	default:
		return
	}
	w.log = append(w.log, did+" "+at)
}

func (w *writer) write(dir *node, name, at string) {
	if dir.children[name] == nil {
		dir.children[name] = newNode('f')
	}
	dir.children[name].text = aText(w.T)
	must(w.w, os.WriteFile(w.at(at), []byte(dir.children[name].text), 0o644))
}

// rename moves something where nothing is. A directory that the image has moves
// only with redirect_dir, and is then all the container's.
func (w *writer) rename(dir *node, name, at string) {
	to, toName, toAt := w.find()
	n := dir.children[name]
	if to.children[toName] != nil || n.isDir() && (n.holds(to) || !w.redirects && !n.own) {
		return
	}
	must(w.w, os.Rename(w.at(at), w.at(toAt)))
	delete(dir.children, name)
	to.children[toName] = n
	n.makeOwn()
	w.log = append(w.log, "to "+toAt)
}

func (n *node) holds(other *node) bool {
	if n == other {
		return true
	}
	for _, child := range n.children {
		if child.holds(other) {
			return true
		}
	}
	return false
}

func (n *node) makeOwn() {
	n.own = n.kind == 'd'
	for _, child := range n.children {
		child.makeOwn()
	}
}
