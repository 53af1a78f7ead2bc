package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/yamledit"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// rollback makes a HotPatch ask again for what its stable revision was made from.
func rollback(ctx context.Context, s Streams, args []string) error {
	e, err := openEditor(ctx, s, pflag.NewFlagSet("rollback", pflag.ContinueOnError), args)
	if err != nil {
		return err
	}
	statuses, err := e.status(ctx)
	if err != nil {
		return err
	}
	stable, err := sameStable(e.name, statuses)
	if err != nil {
		return err
	}
	then, err := e.clone.at(ctx, stable.Source.Commit)
	if err != nil {
		return err
	}
	h := e.item.HotPatch.Metadata
	good, err := findIn(render.Render(ctx, then, e.clone.dir), e.clone.dir, h.Name, h.Namespace)
	if err != nil {
		return fmt.Errorf("in commit %.12s, which the stable revision %s is from: %w", then.commit, stable.Revision, err)
	}
	if asksTheSame(e.item, good) {
		printAsItIs(s, e.name, "asking for its stable revision "+stable.Revision)
		return nil
	}
	files, err := e.restore(ctx, then, good)
	if err != nil {
		return err
	}
	subject, body := rollbackWords(good.HotPatch, *stable)
	return e.finish(ctx, s, change{files, subject, body})
}

// sameStable is the stable revision; on several clusters it must be the same.
func sameStable(name string, statuses []api.HotPatchStatus) (*api.StableRevision, error) {
	stable := statuses[0].Stable
	for _, st := range statuses {
		switch {
		case st.Stable == nil || st.Stable.Source.Commit == "":
			return nil, nothingStable(name)
		case st.Stable.Revision != stable.Revision:
			return nil, severalClusters(name)
		}
	}
	return stable, nil
}

// asksTheSame tells whether two versions of a HotPatch give the same revision, as
// far as Git alone says.
func asksTheSame(a, b render.Item) bool {
	if !reflect.DeepEqual(a.HotPatch.Spec.Containers, b.HotPatch.Spec.Containers) || len(a.HotPatch.Spec.Files) != len(b.HotPatch.Spec.Files) {
		return false
	}
	return reflect.DeepEqual(pinFiles(a), pinFiles(b))
}

// restore puts back the fields that make a revision, and the files of the
// repository that they name. What it returns asks for the same as the good version,
// or it says why it cannot.
func (e *editor) restore(ctx context.Context, then past, good render.Item) (map[string][]byte, error) {
	files := map[string][]byte{}
	if err := e.restoreFields(files, then, good); err != nil {
		return nil, err
	}
	for _, f := range good.HotPatch.Spec.Files {
		if f.From == "" {
			continue
		}
		if err := e.restoreContent(files, then, good.Files[f.Path], path.Join(path.Dir(e.item.File), f.From)); err != nil {
			return nil, err
		}
	}
	after, err := e.after(ctx, files)
	if err != nil || !asksTheSame(after, good) {
		return nil, errors.Join(err, e.elsewhere(then, after, good))
	}
	return files, nil
}

// restoreContent puts back a file of the repository under a name, or a directory
// with no more in it than it had.
func (e *editor) restoreContent(files map[string][]byte, then past, was render.Content, name string) error {
	old, extra := []render.File{{Path: was.RepoPath}}, []render.File(nil)
	if was.Dir {
		var thenErr, nowErr error
		old, thenErr = then.Files(was.RepoPath)
		extra, nowErr = e.clone.Files(name)
		if err := errors.Join(thenErr, nowErr); err != nil {
			return err
		}
	}
	for _, f := range extra {
		files[f.Path] = nil
	}
	for _, f := range old {
		content, err := then.Read(f.Path)
		if err != nil {
			return err
		}
		place := name + strings.TrimPrefix(f.Path, path.Clean(was.RepoPath))
		if now, err := e.clone.Read(place); err == nil && bytes.Equal(now, content) {
			delete(files, place)
			continue
		}
		files[place] = content
	}
	return nil
}

func (e *editor) restoreFields(files map[string][]byte, then past, good render.Item) error {
	old, err := then.Read(good.File)
	if err != nil {
		return err
	}
	oldDocument, err := document(old, good.File, good.HotPatch)
	if err != nil {
		return err
	}
	now, err := e.clone.Read(e.item.File)
	if err != nil {
		return err
	}
	edited := now
	for _, field := range []string{"containers", "files"} {
		if edited, err = restoreField(edited, oldDocument, e.item, field); err != nil {
			return fmt.Errorf("%s: put spec.%s back as in commit %.12s: %w; do it by hand, or by git revert", e.item.File, field, then.commit, err)
		}
	}
	if !bytes.Equal(now, edited) {
		files[e.item.File] = edited
	}
	return nil
}

func restoreField(content []byte, old yamledit.Document, item render.Item, field string) ([]byte, error) {
	lines, err := old.Entry("spec", field)
	if err != nil {
		return nil, err
	}
	d, err := document(content, item.File, item.HotPatch)
	if err != nil {
		return nil, err
	}
	return d.SetEntry(lines, "spec", field)
}

// elsewhere says what of a HotPatch its own file does not decide, and which commits
// may have changed that.
func (e *editor) elsewhere(then past, after, good render.Item) error {
	var still []string
	for _, want := range good.HotPatch.Spec.Containers {
		for _, is := range after.HotPatch.Spec.Containers {
			if is.Name == want.Name && is.Image != want.Image {
				still = append(still, fmt.Sprintf("container %s would still have image %s instead of %s", is.Name, is.Image, want.Image))
			}
		}
	}
	since, err := e.clone.git(then.ctx, nil, "log", "--format=%h %s", "--max-count=10", then.commit+"..HEAD", "--", path.Clean(e.clone.dir))
	if err != nil {
		return err
	}
	return setElsewhere(e.item, strings.Join(still, ", "), strings.TrimSpace(since))
}
