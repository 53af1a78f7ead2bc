package main

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

// tree is the files of an image, by path without a leading slash.
type tree map[string]entry

type entry struct {
	mode    fs.FileMode
	content []byte
	link    string // of a symbolic link
}

func (t tree) file(name string, mode fs.FileMode, content []byte) {
	t.parents(name)
	t[name] = entry{mode: mode, content: content}
}

func (t tree) symlink(name, to string) {
	t.parents(name)
	t[name] = entry{mode: fs.ModeSymlink | 0o777, link: to}
}

func (t tree) dir(name string, mode fs.FileMode) {
	t.parents(name)
	t[name] = entry{mode: fs.ModeDir | mode}
}

func (t tree) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t[dir]; !ok {
			t[dir] = entry{mode: fs.ModeDir | 0o755}
		}
	}
}

// copyFrom takes over everything below a folder. Only who may execute a file is
// kept of its mode: the rest is the umask of whoever checked it out.
func (t tree) copyFrom(folder, to string) error {
	return filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		below, err := filepath.Rel(folder, name)
		if err != nil {
			return err
		}
		return t.copyFile(name, path.Join(to, filepath.ToSlash(below)))
	})
}

func (t tree) copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		t.symlink(to, target)
		return err
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	content, err := os.ReadFile(from)
	t.file(to, mode, content)
	return err
}

// archive is the tree as a tar, the same for the same tree.
func (t tree) archive() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		e := t[name]
		header := &tar.Header{Name: name, Mode: tarMode(e.mode), Size: int64(len(e.content)), Linkname: e.link, Typeflag: typeflag(e.mode), Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
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
