package main

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"hotpatch.dev/hotpatch/reconciler/render"
)

// past shows a commit of a clone to render.
type past struct {
	ctx    context.Context
	clone  *clone
	commit string
}

// resolve is the commit that a person calls by the name of a branch, a tag, or
// itself.
func (c *clone) resolve(ctx context.Context, ref string) (string, error) {
	out, err := c.git(ctx, nil, "rev-parse", "--verify", "-q", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("there is no commit %q in this clone; `git fetch` gets what was pushed", ref)
	}
	return strings.TrimSpace(out), nil
}

// at is the clone as a commit has it. One that is not there was never fetched, or
// is gone from the branch.
func (c *clone) at(ctx context.Context, commit string) (past, error) {
	if _, err := c.git(ctx, nil, "cat-file", "-e", commit+"^{commit}"); err != nil {
		return past{}, fmt.Errorf("commit %s is not in this clone; `git fetch --unshallow` gets older ones, `git fetch` newer ones", commit)
	}
	return past{ctx, c, commit}, nil
}

// Read returns a file by its path in the repository.
func (p past) Read(name string) ([]byte, error) {
	out, err := p.clone.git(p.ctx, nil, "cat-file", "blob", p.commit+":"+name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return []byte(out), nil
}

// Files lists what is below a directory.
func (p past) Files(dir string) ([]render.File, error) {
	out, err := p.clone.git(p.ctx, nil, "ls-tree", "-r", "-l", "-z", "--full-tree", p.commit)
	if err != nil {
		return nil, err
	}
	var files []render.File
	for line := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		about, name, _ := strings.Cut(line, "\t")
		fields := strings.Fields(about) // mode, type, hash, size
		if len(fields) != 4 || !below(dir, name) {
			continue
		}
		f := render.File{Path: name}
		f.Size, _ = strconv.ParseInt(fields[3], 10, 64) // "-" of a submodule
		switch fields[0] {
		case "120000":
			f.Kind = render.Symlink
		case "160000":
			f.Kind = render.Submodule
		}
		files = append(files, f)
	}
	return files, nil
}
