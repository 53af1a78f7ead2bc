package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// gitTimeout bounds each answer of a Git server.
const gitTimeout = 30 * time.Second

// authFlags are the credentials for Git, the reconciler's own flags.
func authFlags(flags *pflag.FlagSet) *gitsource.Auth {
	a := &gitsource.Auth{}
	a.Flags(flags.StringVar)
	return a
}

// readURL renders the newest commit of a branch.
func (w *wish) readURL(ctx context.Context) (render.Result, error) {
	source, err := gitsource.NewSource(gitsource.Options{URL: w.place, Branch: w.branch, Auth: *w.auth, Timeout: gitTimeout})
	if err != nil {
		return render.Result{}, err
	}
	snapshot, err := source.Newer(ctx, "")
	if err != nil {
		return render.Result{}, err
	}
	return rendered(render.Render(ctx, commit{snapshot}, w.path))
}

// commit shows a commit to render, which knows no Git.
type commit struct{ *gitsource.Snapshot }

// Files lists what is below a directory.
func (c commit) Files(dir string) ([]render.File, error) {
	found, err := c.Snapshot.Files(dir)
	var files []render.File
	for _, f := range found {
		files = append(files, render.File{Path: f.Path, Size: f.Size, Kind: render.Kind(f.Kind)})
	}
	return files, err
}

// repositoryURL is the repository itself: of a clone, the one that it was
// cloned from, since that is where results are committed to.
func repositoryURL(ctx context.Context, place string) (string, error) {
	if gitsource.IsURL(place) {
		return place, nil
	}
	abs, err := filepath.Abs(place)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		abs = filepath.Dir(abs)
	}
	out, err := exec.CommandContext(ctx, "git", "-C", abs, "remote", "get-url", "origin").Output()
	origin := strings.TrimSpace(string(out))
	switch {
	case err != nil || origin == "":
		return "file://" + repositoryAround(abs), nil
	case gitsource.IsURL(origin) || !filepath.IsAbs(origin):
		return origin, nil
	}
	return "file://" + origin, nil
}
