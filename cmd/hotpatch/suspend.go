package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/yamledit"
	"hotpatch.dev/hotpatch/reconciler/render"
)

func suspend(ctx context.Context, s Streams, args []string) error {
	return setSuspend(ctx, s, args, "suspend", true)
}

func resume(ctx context.Context, s Streams, args []string) error {
	return setSuspend(ctx, s, args, "resume", false)
}

// setSuspend holds one HotPatch by its own field, and many by a Suspension.
func setSuspend(ctx context.Context, s Streams, args []string, command string, want bool) error {
	flags := pflag.NewFlagSet(command, pflag.ContinueOnError)
	all, reason := flags.Bool("all", false, ""), ""
	if want {
		flags.StringVar(&reason, "reason", "", "")
	}
	e := newEditor(flags)
	if err := e.parse(s, flags, args); err != nil {
		return err
	}
	switch {
	case *all && (e.name != "" || e.namespace != ""):
		return misuse{"--all leaves nothing to choose", command}
	case e.name != "" && reason != "":
		return misuse{"--reason is told of a namespace or of all; for one HotPatch the commit says it", command}
	case e.name == "" && (*all || e.namespace != ""):
		return e.setSuspension(ctx, s, brake{namespace: e.namespace, reason: reason}, want)
	case e.name == "":
		return misuse{"which HotPatch? Or give --namespace alone, or --all", command}
	}
	if err := e.find(ctx); err != nil {
		return err
	}
	is := func(h api.HotPatch) bool { return h.Spec.Suspend == want }
	if is(e.item.HotPatch) {
		printAsItIs(s, e.name, map[bool]string{true: "suspended", false: "not suspended"}[want])
		return nil
	}
	files, err := e.set(ctx, strconv.FormatBool(want), is, "spec", "suspend")
	if err != nil {
		return err
	}
	subject, body := suspendWords(e.name, want)
	return e.finish(ctx, s, change{files, subject, body})
}

// brake is what a Suspension is to hold: a namespace, or everything.
type brake struct{ namespace, reason string }

func (b brake) String() string {
	if b.namespace == "" {
		return "every HotPatch"
	}
	return "namespace " + b.namespace
}

// holds tells whether a Suspension does that.
func (b brake) holds(x render.Suspension) bool {
	return x.Spec.All || b.namespace != "" && x.Over(b.namespace)
}

// text is a Suspension with nothing else in its file.
func (b brake) text() (name, text string) {
	name, what := "suspend-all", "all: true"
	if b.namespace != "" {
		name, what = "suspend-"+b.namespace, "namespaces: ["+b.namespace+"]"
	}
	text = fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec:\n  %s\n", api.APIVersion, api.KindSuspension, name, what)
	if b.reason != "" {
		quoted, _ := json.Marshal(b.reason) // a string cannot fail
		text += "  reason: " + string(quoted) + "\n"
	}
	return name, text
}

// setSuspension writes a Suspension, or takes out what holds.
func (e *editor) setSuspension(ctx context.Context, s Streams, b brake, want bool) (err error) {
	if e.clone, err = openClone(ctx, e.dir); err != nil {
		return err
	}
	holding := slices.DeleteFunc(render.Render(ctx, e.clone.folder, e.clone.dir).Suspensions, func(x render.Suspension) bool { return !b.holds(x) })
	if (len(holding) > 0) == want {
		printAsItIs(s, b.String(), map[bool]string{true: "suspended", false: "not suspended"}[want])
		return nil
	}
	files, err := e.release(b, holding)
	if want {
		files, err = e.hold(b)
	}
	if err != nil {
		return err
	}
	after := render.Render(ctx, edited{e.clone.folder, files}, e.clone.dir)
	if slices.ContainsFunc(after.Suspensions, b.holds) != want {
		return errors.Join(append(after.Errors, notSuspended(b, e.clone.dir, want))...)
	}
	subject, body := suspendWords(b.String(), want)
	return e.finish(ctx, s, change{files, subject, body})
}

// hold is a new file, listed where a kustomization wants it to be.
func (e *editor) hold(b brake) (map[string][]byte, error) {
	name, text := b.text()
	file := path.Join(e.clone.dir, name+".yaml")
	if _, err := api.DecodeSuspension(file, []byte(text)); err != nil {
		return nil, err
	}
	if _, err := e.clone.Read(file); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is there already, and does not suspend %s; look at it by hand", file, b)
	}
	files := map[string][]byte{file: []byte(text)}
	return files, e.list(files, file, yamledit.Document.Append)
}

// release takes out Suspensions that hold nothing else, and of others the namespace.
func (e *editor) release(b brake, holding []render.Suspension) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, x := range holding {
		content, err := e.clone.Read(x.File)
		if err != nil {
			return nil, err
		}
		parsed, err := yamledit.Parse(content)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", x.File, err)
		case x.Spec.All && b.namespace != "":
			return nil, holdsAll(x, b)
		case len(parsed.Documents()) > 1:
			return nil, fmt.Errorf("%s holds more than %s; take it out by hand", x.File, x.Suspension)
		case len(x.Spec.Namespaces) > 1:
			files[x.File], err = parsed.Documents()[0].Remove(b.namespace, "spec", "namespaces")
		default:
			files[x.File] = nil
			err = e.list(files, x.File, yamledit.Document.Remove)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: let %s go: %w; do it by hand", x.File, b, err)
		}
	}
	return files, nil
}

// list edits the resources of the kustomization beside a file, if there is one.
func (e *editor) list(files map[string][]byte, file string, edit func(yamledit.Document, string, ...string) ([]byte, error)) error {
	for _, name := range kustomizations(path.Dir(file)) {
		content, err := edited{e.clone.folder, files}.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		parsed, err := yamledit.Parse(content)
		if err != nil || len(parsed.Documents()) != 1 {
			return fmt.Errorf("%s: %w", name, errors.Join(err, yamledit.ErrLayout))
		}
		if files[name], err = edit(parsed.Documents()[0], path.Base(file), "resources"); err != nil {
			return fmt.Errorf("%s: resources with %s: %w; do it by hand", name, strings.TrimPrefix(file, path.Dir(name)+"/"), err)
		}
		return nil
	}
	return nil
}

// kustomizations are the names that a directory's may have.
func kustomizations(dir string) []string {
	return []string{path.Join(dir, "kustomization.yaml"), path.Join(dir, "kustomization.yml"), path.Join(dir, "Kustomization")}
}
