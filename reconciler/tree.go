package reconciler

import (
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// tree shows a commit to render, which knows no Git.
type tree struct{ *gitsource.Snapshot }

// Files lists what is below a directory.
func (t tree) Files(dir string) ([]render.File, error) {
	found, err := t.Snapshot.Files(dir)
	var files []render.File
	for _, f := range found {
		files = append(files, render.File{Path: f.Path, Size: f.Size, Kind: render.Kind(f.Kind), ID: f.ID})
	}
	return files, err
}
