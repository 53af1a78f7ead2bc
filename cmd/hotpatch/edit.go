package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/yamledit"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// editor makes a commit that changes what one HotPatch asks for.
type editor struct {
	name, namespace, dir string
	branch               string
	dryRun, push         bool
	known                record
	clone                *clone
	item                 render.Item
}

// openEditor reads the flags that all such commands have, and finds the HotPatch
// in the clone.
func openEditor(ctx context.Context, s Streams, flags *pflag.FlagSet, args []string) (*editor, error) {
	e := newEditor(flags)
	if err := e.parse(s, flags, args); err != nil {
		return nil, err
	}
	if e.name == "" {
		return nil, misuse{"which HotPatch?", flags.Name()}
	}
	return e, e.find(ctx)
}

// newEditor has flags set what an editor does.
func newEditor(flags *pflag.FlagSet) *editor {
	e := &editor{known: record{auth: authFlags(flags)}}
	flags.StringVar(&e.dir, "dir", ".", "")
	flags.StringVarP(&e.namespace, "namespace", "n", "", "")
	flags.BoolVar(&e.dryRun, "dry-run", false, "")
	flags.BoolVar(&e.push, "push", false, "")
	flags.StringVar(&e.branch, "branch", "", "")
	flags.StringVar(&e.known.repo, "repo", os.Getenv("HOTPATCH_REPO"), "")
	flags.StringVar(&e.known.branch, "status-branch", "hotpatch-status", "")
	flags.StringVar(&e.known.cluster, "cluster", "", "")
	return e
}

func (e *editor) parse(s Streams, flags *pflag.FlagSet, args []string) error {
	err := parse(s, flags, args, 1)
	e.name = flags.Arg(0)
	return err
}

// find opens the clone, and finds the HotPatch that was named in it.
func (e *editor) find(ctx context.Context) (err error) {
	if e.clone, err = openClone(ctx, e.dir); err != nil {
		return err
	}
	e.item, err = e.clone.find(ctx, e.name, e.namespace)
	return err
}

// status is what was recorded of the HotPatch, one for each cluster.
func (e *editor) status(ctx context.Context) ([]api.HotPatchStatus, error) {
	if e.known.repo == "" {
		e.known.repo = e.dir
	}
	e.known.namespace = e.item.HotPatch.Metadata.Namespace
	statuses, err := e.known.read(ctx)
	if err != nil {
		return nil, err
	}
	if statuses = only(statuses, []string{e.name}); len(statuses) == 0 {
		return nil, noSuchRecord([]string{e.name})
	}
	return statuses, nil
}

// document is the HotPatch as a person wrote it: kustomize may have renamed it.
func document(content []byte, file string, h api.HotPatch) (yamledit.Document, error) {
	parsed, err := yamledit.Parse(content)
	if err != nil {
		return yamledit.Document{}, fmt.Errorf("%s: %w", file, err)
	}
	var all, named []yamledit.Document
	for _, d := range parsed.Documents() {
		if d.Get("apiVersion") != api.APIVersion || d.Get("kind") != api.KindHotPatch {
			continue
		}
		all = append(all, d)
		if namespace := d.Get("metadata", "namespace"); d.Get("metadata", "name") == h.Metadata.Name && (namespace == "" || namespace == h.Metadata.Namespace) {
			named = append(named, d)
		}
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(all) == 1:
		return all[0], nil
	}
	return yamledit.Document{}, fmt.Errorf("%s holds %d HotPatches, and which of them is %s cannot be told; edit it by hand", file, len(all), h.Key())
}

// set changes one field of the HotPatch in its file, and checks with wanted that
// this is what the repository then asks for.
func (e *editor) set(ctx context.Context, text string, wanted func(api.HotPatch) bool, field ...string) (map[string][]byte, error) {
	files := map[string][]byte{}
	set := func(d yamledit.Document) ([]byte, error) { return d.Set(text, field...) }
	if err := e.edit(files, set); err != nil {
		return nil, fmt.Errorf("%s: set %s to %s: %w; do it by hand", e.item.File, strings.Join(field, "."), text, err)
	}
	after, err := e.after(ctx, files)
	if err == nil && !wanted(after.HotPatch) {
		err = fmt.Errorf("%s of HotPatch %s is set by a kustomization and not by %s; change it there", strings.Join(field, "."), e.item.HotPatch.Key(), e.item.File)
	}
	return files, err
}

// edit changes the HotPatch in its file, on top of what was changed before.
func (e *editor) edit(files map[string][]byte, change func(yamledit.Document) ([]byte, error)) error {
	d, err := e.document(files)
	if err != nil {
		return err
	}
	changed, err := change(d)
	if err == nil {
		files[e.item.File] = changed
	}
	return err
}

// document is the HotPatch in its file, with some files changed.
func (e *editor) document(files map[string][]byte) (yamledit.Document, error) {
	content, err := edited{e.clone.folder, files}.Read(e.item.File)
	if err != nil {
		return yamledit.Document{}, err
	}
	return document(content, e.item.File, e.item.HotPatch)
}

// after is the HotPatch as it would be with some files changed.
func (e *editor) after(ctx context.Context, files map[string][]byte) (render.Item, error) {
	h := e.item.HotPatch.Metadata
	return findIn(render.Render(ctx, edited{e.clone.folder, files}, e.clone.dir), e.clone.dir, h.Name, h.Namespace)
}

// finish shows the change, or commits it and pushes that if asked to.
func (e *editor) finish(ctx context.Context, s Streams, ch change) error {
	if e.dryRun {
		diff, err := e.clone.diff(ctx, ch)
		fmt.Fprint(s.Out, diff)
		return err
	}
	record := e.clone.commit
	if e.branch != "" {
		record = e.clone.commitAside(e.branch)
	}
	commit, branch, err := record(ctx, ch)
	if err != nil {
		return err
	}
	if e.push {
		if err := e.clone.push(ctx, e.branch); err != nil {
			return notPushed(commit, branch, err)
		}
	}
	printCommitted(s, commit, branch, ch.subject, e.push)
	return nil
}
