package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/yamledit"
)

// setter changes what one HotPatch asks for.
type setter struct {
	*editor
	content, url, sha256 string
	files                map[string][]byte
	done                 []string // in words
}

// set has a HotPatch ask for other images, or other versions of files.
func set(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("set", pflag.ContinueOnError)
	e := setter{editor: newEditor(flags), files: map[string][]byte{}}
	flags.StringVar(&e.content, "content", "", "")
	flags.StringVar(&e.url, "url", "", "")
	flags.StringVar(&e.sha256, "sha256", "", "")
	if err := parse(s, flags, args, 100); err != nil {
		return err
	}
	one, wanted, err := e.wanted(flags.Args())
	if err != nil {
		return err
	}
	if err := e.find(ctx); err != nil {
		return err
	}
	for _, want := range wanted {
		name, to, _ := strings.Cut(want, "=")
		if err := one(ctx, name, to); err != nil {
			return err
		}
	}
	if len(e.done) == 0 {
		printAsItIs(s, e.name, "asking for that")
		return nil
	}
	subject, body := setWords(e.name, e.done)
	return e.finish(ctx, s, change{e.files, subject, body})
}

// wanted reads the arguments: what is set, of which HotPatch, and to what.
func (e *setter) wanted(args []string) (one func(ctx context.Context, name, to string) error, wanted []string, err error) {
	if len(args) < 3 {
		return nil, nil, misuse{"what is to be set, of which HotPatch, and to what?", "set"}
	}
	for _, want := range args[2:] {
		if name, to, _ := strings.Cut(want, "="); name == "" || to == "" {
			return nil, nil, misuse{fmt.Sprintf("%q: want NAME=VALUE", want), "set"}
		}
	}
	e.name = args[1]
	elsewhere := e.url != "" || e.sha256 != ""
	switch {
	case args[0] == "image" && (e.content != "" || elsewhere):
		return nil, nil, misuse{"--content, --url and --sha256 are for files", "set"}
	case args[0] == "image":
		return e.setImage, args[2:], nil
	case args[0] != "file":
		return nil, nil, misuse{fmt.Sprintf("%q cannot be set; want image or file", args[0]), "set"}
	case (e.content != "" || elsewhere) && len(args) > 3:
		return nil, nil, misuse{"--content, --url and --sha256 are for one file", "set"}
	case e.content != "" && elsewhere:
		return nil, nil, misuse{"a file comes from this repository (--content) or from a URL, not from both", "set"}
	}
	return e.setFile, args[2:], nil
}

// setImage changes an image where it is written.
func (e *setter) setImage(ctx context.Context, container, image string) error {
	is := imageOf(e.item.HotPatch, container)
	switch {
	case is == "":
		return fmt.Errorf("HotPatch %s has no container %s; it has %s", e.item.HotPatch.Key(), container, asksFor(e.item.HotPatch))
	case is == image:
		return nil
	}
	field := []string{"spec", "containers", "[name=" + container + "]", "image"}
	d, err := e.document(e.files)
	if err != nil {
		return err
	}
	content, err := d.SetString(image, field...)
	if err != nil {
		return fmt.Errorf("%s: set the image of container %s: %w; do it by hand", e.item.File, container, err)
	}
	name, _, _ := splitImage(d.Get(field...))
	if !e.try(ctx, e.item.File, content, container, image) && !e.setInKustomization(ctx, container, name, image) {
		return fmt.Errorf("the image of container %s of HotPatch %s is set by a kustomization and not by %s; change it there", container, e.item.HotPatch.Key(), e.item.File)
	}
	e.done = append(e.done, fmt.Sprintf("%s from %s to %s", container, is, image))
	return nil
}

// try changes a file if a container then has an image.
func (e *setter) try(ctx context.Context, file string, content []byte, container, image string) bool {
	before, changed := e.files[file]
	e.files[file] = content
	if after, err := e.after(ctx, e.files); err == nil && imageOf(after.HotPatch, container) == image {
		return true
	}
	if e.files[file] = before; !changed {
		delete(e.files, file)
	}
	return false
}

func imageOf(h api.HotPatch, container string) string {
	i := slices.IndexFunc(h.Spec.Containers, func(c api.Container) bool { return c.Name == container })
	if i < 0 {
		return ""
	}
	return h.Spec.Containers[i].Image
}

// setInKustomization changes the images of a kustomization, where it decides those
// of a name.
func (e *setter) setInKustomization(ctx context.Context, container, name, image string) bool {
	_, tag, digest := splitImage(image)
	field, value := "newTag", tag
	if digest != "" {
		field, value = "digest", digest
	}
	for _, file := range append(kustomizations(e.item.Root), kustomizations(path.Dir(e.item.File))...) {
		content, err := edited{e.clone.folder, e.files}.Read(file)
		if err != nil {
			continue
		}
		parsed, err := yamledit.Parse(content)
		if err != nil || len(parsed.Documents()) != 1 {
			continue
		}
		changed, err := parsed.Documents()[0].SetString(value, "images", "[name="+name+"]", field)
		if err == nil && e.try(ctx, file, changed, container, image) {
			return true
		}
	}
	return false
}

// splitImage is an image's name, and its tag or digest.
func splitImage(image string) (name, tag, digest string) {
	name, digest, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i+1:]
	}
	return name, tag, digest
}

// setFile changes the version of a file, and where it comes from.
func (e *setter) setFile(ctx context.Context, name, version string) error {
	files := e.item.HotPatch.Spec.Files
	i := slices.IndexFunc(files, func(f api.File) bool { return f.Path == name })
	if i < 0 {
		return fmt.Errorf("HotPatch %s has no file %s; it has %s", e.item.HotPatch.Key(), name, asksFor(e.item.HotPatch))
	}
	is := files[i]
	if err := e.fill(is); err != nil {
		return err
	}
	want := map[string]string{"version": version, "url": e.url, "sha256": e.sha256}
	for _, field := range []string{"version", "url", "sha256"} {
		if want[field] == "" {
			continue
		}
		err := e.edit(e.files, func(d yamledit.Document) ([]byte, error) {
			return d.SetString(want[field], "spec", "files", "[path="+name+"]", field)
		})
		if err != nil {
			return fmt.Errorf("%s: set %s of file %s: %w; do it by hand", e.item.File, field, name, err)
		}
	}
	after, err := e.after(ctx, e.files)
	if err != nil {
		return err
	}
	if got := after.HotPatch.Spec.Files; i >= len(got) || got[i].Version != version {
		return fmt.Errorf("the version of file %s of HotPatch %s is set by a kustomization and not by %s; change it there", name, e.item.HotPatch.Key(), e.item.File)
	}
	switch was, now := pinFiles(e.item)[i], pinFiles(after)[i]; {
	case was == now:
	case is.Version == version:
		e.done = append(e.done, fmt.Sprintf("other content of %s at %s", name, version))
	default:
		e.done = append(e.done, fmt.Sprintf("%s from %s to %s", name, is.Version, version))
	}
	return nil
}

// fill puts another content in place of a file of the repository.
func (e *setter) fill(is api.File) error {
	at := e.item.Files[is.Path]
	switch {
	case is.From == "" && e.content != "":
		return fmt.Errorf("file %s comes from %s, and not from this repository; --url and --sha256 change that", is.Path, is.URL)
	case is.From != "" && e.url+e.sha256 != "":
		return fmt.Errorf("file %s comes from %s of this repository; --content changes that", is.Path, at.RepoPath)
	case at.Dir && e.content != "":
		return fmt.Errorf("file %s comes from the directory %s; change its files by hand", is.Path, at.RepoPath)
	case is.From == "" || at.Dir:
		return nil
	}
	content, err := e.clone.Read(at.RepoPath) // which nobody may be working on
	if e.content != "" {
		content, err = os.ReadFile(e.content)
	}
	e.files[at.RepoPath] = content
	return err
}
