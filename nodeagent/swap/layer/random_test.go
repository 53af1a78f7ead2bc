package layer

import (
	"errors"
	"os"
	"path"
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
