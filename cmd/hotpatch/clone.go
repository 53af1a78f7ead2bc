package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/reconciler/render"
)

// clone is a person's working copy of the repository. Commits are made in it with
// git itself, so that hooks, signatures and credentials are the person's own.
type clone struct {
	folder
	dir string // that HotPatches are built from
}

func openClone(ctx context.Context, place string) (*clone, error) {
	tree, dir, err := openFolder(place)
	if err != nil {
		return nil, err
	}
	c := &clone{tree, dir}
	if _, err := c.git(ctx, nil, "rev-parse", "--verify", "-q", "HEAD"); err != nil {
		return nil, fmt.Errorf("%s is not in a clone of a repository with a commit: commits are made in one; --dir names it", place)
	}
	return c, nil
}

// git runs git in the clone, with more in its environment, and returns what it
// says.
func (c *clone) git(ctx context.Context, env []string, args ...string) (string, error) {
	return c.gitWith(ctx, "", env, args...)
}

func (c *clone) gitWith(ctx context.Context, input string, env []string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", append([]string{"-C", c.root.Name()}, args...)...)
	command.Env = append(os.Environ(), env...)
	command.Stdin = strings.NewReader(input)
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}

// find is the HotPatch of a name, as the working tree asks for it.
func (c *clone) find(ctx context.Context, name, namespace string) (render.Item, error) {
	return findIn(render.Render(ctx, c.folder, c.dir), c.dir, name, namespace)
}

func findIn(built render.Result, dir, name, namespace string) (render.Item, error) {
	named := slices.DeleteFunc(built.Items, func(i render.Item) bool {
		return i.HotPatch.Metadata.Name != name || namespace != "" && i.HotPatch.Metadata.Namespace != namespace
	})
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(named) > 1:
		return render.Item{}, fmt.Errorf("there are %d HotPatches %s; --namespace says which", len(named), name)
	case len(built.Errors) > 0:
		return render.Item{}, invalid{errors.Join(built.Errors...)}
	}
	return render.Item{}, fmt.Errorf("there is no HotPatch %s in %s; --dir names the folder that it is built from", name, dir)
}

// edited shows a working tree with some files as they are to become.
type edited struct {
	folder
	files map[string][]byte
}

// Read returns a file by its path in the repository.
func (e edited) Read(name string) ([]byte, error) {
	if content, ok := e.files[name]; ok && content == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	} else if ok {
		return content, nil
	}
	return e.folder.Read(name)
}

// Files lists what is below a directory.
func (e edited) Files(dir string) ([]render.File, error) {
	files, err := e.folder.Files(dir)
	files = slices.DeleteFunc(files, func(f render.File) bool { _, ok := e.files[f.Path]; return ok })
	for name, content := range e.files {
		if content != nil && below(dir, name) {
			files = append(files, render.File{Path: name, Size: int64(len(content))})
		}
	}
	return files, err
}

// change is a commit to make: files by path in the repository, nil for one that is
// to go, and why.
type change struct {
	files         map[string][]byte
	subject, body string
}

func (c change) names() []string { return slices.Sorted(maps.Keys(c.files)) }

// diff is what a commit would change, for `git apply` and for people. It is made
// beside the repository, of which nothing is touched.
func (c *clone) diff(ctx context.Context, ch change) (string, error) {
	aside, err := os.MkdirTemp("", "hotpatch-diff-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	objects, err := c.git(ctx, nil, "rev-parse", "--path-format=absolute", "--git-path", "objects")
	if err == nil {
		err = os.Mkdir(filepath.Join(aside, "objects"), 0o700)
	}
	if err != nil {
		return "", err
	}
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(aside, "index"), "GIT_OBJECT_DIRECTORY=" + filepath.Join(aside, "objects"),
		"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + strings.TrimSpace(objects)}
	if _, err := c.git(ctx, env, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	for _, name := range ch.names() {
		if ch.files[name] == nil {
			if _, err := c.git(ctx, env, "update-index", "--force-remove", "--", name); err != nil {
				return "", err
			}
			continue
		}
		hash, err := c.gitWith(ctx, string(ch.files[name]), env, "hash-object", "-w", "--stdin", "--path", name)
		if err != nil {
			return "", err
		}
		entry := fmt.Sprintf("%s,%s,%s", c.mode(ctx, name), strings.TrimSpace(hash), name)
		if _, err := c.git(ctx, env, "update-index", "--add", "--cacheinfo", entry); err != nil {
			return "", err
		}
	}
	return c.git(ctx, env, "diff", "--cached", "--binary", "--no-ext-diff", "--no-color", "HEAD")
}

// mode is that of a file in Git, or of a new one.
func (c *clone) mode(ctx context.Context, name string) string {
	listed, _ := c.git(ctx, nil, "ls-files", "-s", "--", name)
	if mode, _, ok := strings.Cut(listed, " "); ok {
		return mode
	}
	return "100644"
}

// commit makes a commit of a change, and of nothing else that a person may have
// prepared. It returns the commit and the branch it is on. Where git refuses, a
// hook for example, files are as they were.
func (c *clone) commit(ctx context.Context, ch change) (commit, branch string, err error) {
	names := append([]string{"--"}, ch.names()...)
	if err := c.clean(ctx, ch); err != nil {
		return "", "", err
	}
	before := map[string][]byte{}
	for name, content := range ch.files {
		was, err := c.Read(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", "", err
		}
		before[name] = was
		if err := c.write(name, content); err != nil {
			return "", "", errors.Join(err, c.putBack(ctx, before))
		}
	}
	_, err = c.git(ctx, nil, append([]string{"add"}, names...)...)
	if err == nil {
		_, err = c.git(ctx, nil, append([]string{"commit", "-q", "-m", ch.subject, "-m", ch.body, "--only"}, names...)...)
	}
	if err != nil {
		return "", "", errors.Join(err, c.putBack(context.WithoutCancel(ctx), before))
	}
	commit, err = c.git(ctx, nil, "rev-parse", "HEAD")
	if err == nil {
		branch, err = c.git(ctx, nil, "rev-parse", "--abbrev-ref", "HEAD")
	}
	return strings.TrimSpace(commit), strings.TrimSpace(branch), err
}

// clean tells whether nobody works on the files that are to change.
func (c *clone) clean(ctx context.Context, ch change) error {
	dirty, err := c.git(ctx, nil, append([]string{"status", "--porcelain", "--"}, ch.names()...)...)
	if err != nil || dirty == "" {
		return err
	}
	return fmt.Errorf("these have changes that are not committed; commit or stash them first:\n%s", strings.TrimRight(dirty, "\n"))
}

// write puts a file in place, or takes it away.
func (c *clone) write(name string, content []byte) error {
	if content == nil {
		return c.root.Remove(name)
	}
	if err := c.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return c.root.WriteFile(name, content, 0o644)
}

// putBack has files as they were, those that were not there included.
func (c *clone) putBack(ctx context.Context, before map[string][]byte) error {
	var errs []error
	for name, content := range before {
		errs = append(errs, c.write(name, content))
		_, err := c.git(ctx, nil, "reset", "-q", "--", name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
