// Package rootfs makes the files of images that the demo and the tests run: of
// folders, and of Debian packages.
//
// It promises that the same files give the same archive, whatever their times
// and whoever checked them out.
package rootfs

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Tree is the files of an image, by path without a leading slash.
type Tree map[string]Entry

// Entry is a file, a directory or a symbolic link.
type Entry struct {
	Mode    fs.FileMode
	Content []byte
	Link    string // of a symbolic link
}

// File adds a file, with the directories above it.
func (t Tree) File(name string, mode fs.FileMode, content []byte) {
	t.parents(name)
	t[name] = Entry{Mode: mode, Content: content}
}

// Symlink adds a symbolic link.
func (t Tree) Symlink(name, to string) {
	t.parents(name)
	t[name] = Entry{Mode: fs.ModeSymlink | 0o777, Link: to}
}

// Dir adds a directory.
func (t Tree) Dir(name string, mode fs.FileMode) {
	t.parents(name)
	t[name] = Entry{Mode: fs.ModeDir | mode}
}

func (t Tree) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t[dir] = Entry{Mode: fs.ModeDir | 0o755}
		}
	}
}

// CopyFrom takes over everything below a folder. Only who may execute a file is
// kept of its mode: the rest is the umask of whoever checked it out.
func (t Tree) CopyFrom(folder, to string) error {
	return filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		below, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		return t.CopyFile(name, path.Join(to, filepath.ToSlash(below)))
	})
}

// CopyFile takes over one file, or symbolic link.
func (t Tree) CopyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		t.Symlink(to, target)
		return err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	content, err := os.ReadFile(from)
	t.File(to, mode, content)
	return err
}

// Archive is the tree as a tar, the same for the same tree.
func (t Tree) Archive() ([]byte, error) {
	var out bytes.Buffer
	out.Grow(t.size())
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		e := t[name]
		header := &tar.Header{Name: name, Mode: tarMode(e.Mode), Size: int64(len(e.Content)), Linkname: e.Link, Typeflag: typeflag(e.Mode), Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.Content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// size is about that of the archive.
func (t Tree) size() (size int) {
	for _, e := range t {
		size += 2<<10 + len(e.Content) // with its headers and padding
	}
	return size
}

// tarMode is the permissions with the sticky bit where tar has it.
func tarMode(m fs.FileMode) int64 { return int64(m.Perm()) | int64(m)&0o1000 }

func typeflag(m fs.FileMode) byte {
	switch {
	case m.IsDir():
		return tar.TypeDir
	case m&fs.ModeSymlink != 0:
		return tar.TypeSymlink
	}
	return tar.TypeReg
}
