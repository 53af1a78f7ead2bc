package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// commitAside makes commits on a new branch, which begins at HEAD. They are made in a
// working tree of their own, by the person's git with its hooks and signatures: the
// one that the person stands in stays as it is.
func (c *clone) commitAside(branch string) func(context.Context, change) (commit, name string, err error) {
	return func(ctx context.Context, ch change) (commit, name string, err error) {
		if err := c.clean(ctx, ch); err != nil {
			return "", "", err
		}
		if _, err := c.git(ctx, nil, "rev-parse", "--verify", "-q", "--end-of-options", "refs/heads/"+branch); err == nil {
			return "", "", fmt.Errorf("there is a branch %s already; give the new one another name", branch)
		}
		parent, err := os.MkdirTemp("", "hotpatch-branch-")
		if err != nil {
			return "", "", err
		}
		defer os.RemoveAll(parent)
		tree := filepath.Join(parent, "tree")
		if _, err := c.git(ctx, nil, "worktree", "add", "-q", "-b", branch, tree, "HEAD"); err != nil {
			return "", "", err
		}
		always := context.WithoutCancel(ctx)
		defer c.git(always, nil, "worktree", "remove", "--force", tree)
		aside, err := openClone(ctx, tree)
		if err != nil {
			return "", "", err
		}
		defer aside.root.Close()
		if commit, name, err = aside.commit(ctx, ch); err != nil {
			c.git(always, nil, "worktree", "remove", "--force", tree)
			c.git(always, nil, "branch", "-q", "-D", branch)
		}
		return commit, name, err
	}
}

// pushTimeout is more than a server with hooks takes.
const pushTimeout = 2 * time.Minute

// push pushes the branch that is checked out to where git is set to push it, or a
// new one to where that would go.
func (c *clone) push(ctx context.Context, branch string) error {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	if branch == "" {
		_, err := c.git(ctx, nil, "push", "-q")
		return err
	}
	_, err := c.git(ctx, nil, "push", "-q", "-u", c.remote(ctx), branch)
	return err
}

// remote is what the branch that is checked out follows, or else what git calls the
// place that a clone is of.
func (c *clone) remote(ctx context.Context) string {
	upstream, err := c.git(ctx, nil, "rev-parse", "--abbrev-ref", "@{upstream}")
	if name, _, ok := strings.Cut(strings.TrimSpace(upstream), "/"); ok && err == nil {
		return name
	}
	return "origin"
}
