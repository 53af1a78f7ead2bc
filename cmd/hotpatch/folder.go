package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

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
	inside, err := filepath.Rel(around, abs)
	if err != nil {
		return folder{}, "", err
	}
	root, err := os.OpenRoot(around)
	return folder{root}, filepath.ToSlash(inside), err
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

// Files lists what is below a directory, by path. A file that went away
// meanwhile is left out.
func (f folder) Files(dir string) ([]render.File, error) {
	names, err := f.names()
	if err != nil {
		return nil, err
	}
	var files []render.File
	for _, name := range names {
		if !below(dir, name) {
			continue
		}
		info, err := f.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, render.File{Path: name, Size: info.Size(), Kind: kindOf(info.Mode())})
	}
	return files, nil
}

func below(dir, name string) bool {
	dir = path.Clean(dir)
	return dir == "." || strings.HasPrefix(name, dir+"/")
}

// names are the files that a commit of everything would hold: what Git ignores
// is not among them. Outside of a repository they are all files.
func (f folder) names() ([]string, error) {
	out, err := exec.Command("git", "-C", f.root.Name(), "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err == nil {
		names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		slices.Sort(names)
		return slices.Compact(names), nil
	}
	var names []string
	err = fs.WalkDir(f.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() {
			names = append(names, name)
		}
		return err
	})
	return names, err
}

func kindOf(mode fs.FileMode) render.Kind {
	if mode&fs.ModeSymlink != 0 {
		return render.Symlink
	}
	return render.Regular
}
