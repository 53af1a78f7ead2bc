package render

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Read is what sidecars get: a file as it is, or a directory as one tar file. The
// same files give the same bytes, whoever packs them and when: revisions are told
// apart by their digest.
func Read(src Source, c Content) ([]byte, error) {
	if !c.Dir {
		return read(src, c.RepoPath)
	}
	files, err := src.Files(c.RepoPath)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := add(w, src, f, strings.TrimPrefix(f.Path, path.Clean(c.RepoPath)+"/")); err != nil {
			return nil, err
		}
		if out.Len() > MaxContent {
			return nil, fmt.Errorf("the files below %s are more than %d bytes together", c.RepoPath, MaxContent)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// pointer is how a file begins that stands for one of Git LFS.
const pointer = "version https://git-lfs.github.com/spec/"

// read reads a file, but not one that only says where its content is: pods would be
// handed that text in place of it.
func read(src Source, name string) ([]byte, error) {
	content, err := src.Read(name)
	if err == nil && bytes.HasPrefix(content, []byte(pointer)) {
		return nil, fmt.Errorf("%s is a pointer of Git LFS, which is not followed; commit the file itself, or have it come from a url", name)
	}
	return content, err
}

// add packs one file under a name. Neither times nor modes: Git has none of the
// former, and a sidecar's files are for all to read.
func add(w *tar.Writer, src Source, f File, name string) error {
	switch {
	case f.Kind != Regular:
		return fmt.Errorf("%s is not a regular file", f.Path)
	case f.Size > MaxContent:
		return fmt.Errorf("%s has %d bytes; at most %d can be handed to sidecars", f.Path, f.Size, MaxContent)
	}
	content, err := read(src, f.Path)
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return fmt.Errorf("pack %s: %w", f.Path, err)
	}
	_, err = w.Write(content)
	return err
}
