package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"hotpatch.dev/hotpatch/reconciler/render"
)

// folder shows a working tree to render, as if it were a commit. It cannot be
// left: paths and links that lead out of it are errors.
type folder struct{ root *os.Root }

// openFolder opens the repository around a folder, since a kustomization may
// name files beside it, and says where the folder is in it.
func openFolder(name string) (folder, string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return folder{}, "", err
	}
	around := repositoryAround(abs)
	below, err := filepath.Rel(around, abs)
	if err != nil {
		return folder{}, "", err
	}
	root, err := os.OpenRoot(around)
	return folder{root}, filepath.ToSlash(below), err
}

// repositoryAround is the nearest folder above with a .git, or else the folder
// itself.
func repositoryAround(name string) string {
	for dir := name; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
	}
	return name
}

// Read returns a file by its path in the repository.
func (f folder) Read(name string) ([]byte, error) { return f.root.ReadFile(name) }

// Files lists what is below a directory, by path.
func (f folder) Files(dir string) ([]render.File, error) {
	var files []render.File
	err := fs.WalkDir(f.root.FS(), path.Clean(dir), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err == nil {
			files = append(files, render.File{Path: name, Size: info.Size(), Kind: kindOf(info.Mode())})
		}
		return err
	})
	return files, err
}

func kindOf(mode fs.FileMode) render.Kind {
	if mode&fs.ModeSymlink != 0 {
		return render.Symlink
	}
	return render.Regular
}
