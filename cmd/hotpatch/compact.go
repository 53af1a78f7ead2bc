package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// compactor shortens the history of the branch with the results, in a clone.
type compactor struct {
	*clone
	branch string
	keep   int
	before time.Time // zero: keep says how many stay
	pushes bool
}

// compactTries is how often it begins anew because results came meanwhile.
const compactTries = 5

// statusBranch is for what people do to the branch with the results.
func statusBranch(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("status-branch", pflag.ContinueOnError)
	c := compactor{}
	dir := flags.String("dir", ".", "")
	flags.StringVar(&c.branch, "status-branch", "hotpatch-status", "")
	flags.IntVar(&c.keep, "keep", 1000, "")
	flags.TimeVar(&c.before, "before", time.Time{}, []string{time.DateOnly, time.RFC3339}, "")
	flags.BoolVar(&c.pushes, "push", false, "")
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	if flags.Arg(0) != "compact" {
		return misuse{"what is to be done with the branch? It can be made compact", "status-branch"}
	}
	if c.keep < 1 {
		return misuse{fmt.Sprintf("--keep %d: at least one commit stays", c.keep), "status-branch"}
	}
	if flags.Changed("keep") && flags.Changed("before") {
		return misuse{"--keep and --before: one of them says what stays", "status-branch"}
	}
	var err error
	if c.clone, err = openClone(ctx, *dir); err != nil {
		return err
	}
	defer c.root.Close()
	return c.compact(ctx, s)
}

// errMovedAway: somebody has pushed to the branch since it was fetched.
var errMovedAway = errors.New("results came meanwhile")

func (c *compactor) compact(ctx context.Context, s Streams) (err error) {
	for range compactTries {
		if err = c.once(ctx, s); !errors.Is(err, errMovedAway) {
			return err
		}
	}
	return fmt.Errorf("%s was not made compact, %d times: %w; try it when less is released", c.branch, compactTries, err)
}

func (c *compactor) once(ctx context.Context, s Streams) error {
	remote := c.remote(ctx)
	tip, err := c.fetchTip(ctx, remote)
	if err != nil {
		return err
	}
	commits, err := c.list(ctx, tip)
	if err != nil {
		return err
	}
	if len(commits) <= c.keep+1 {
		printCompactAlready(s, c.branch, len(commits), c.keep)
		return nil
	}
	if !c.pushes {
		printWouldCompact(s, c.branch, len(commits), c.keep)
		return nil
	}
	next, err := c.rewrite(ctx, commits)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	ref := "refs/heads/" + c.branch
	if _, err := c.git(limited, nil, "push", "-q", "--force-with-lease="+ref+":"+tip, remote, next+":"+ref); err != nil {
		if now, gone := c.fetchTip(ctx, remote); gone == nil && now != tip {
			return errMovedAway
		}
		return err
	}
	printCompacted(s, c.branch, len(commits), c.keep)
	return nil
}

// list is the branch's commits, the newest first. With a date it makes keep how many
// are not older, and the newest stays in any case.
func (c *compactor) list(ctx context.Context, tip string) (commits []string, err error) {
	listed, err := c.git(ctx, nil, "log", "--first-parent", "--format=%H %ct", tip)
	if err != nil {
		return nil, err
	}
	dated, older := !c.before.IsZero(), false
	if dated {
		c.keep = 1
	}
	for line := range strings.Lines(listed) {
		var commit string
		var at int64
		if _, err := fmt.Sscan(line, &commit, &at); err != nil {
			return nil, fmt.Errorf("the log of %s says %q: %w", c.branch, line, err)
		}
		commits = append(commits, commit)
		older = older || at < c.before.Unix()
		if dated && !older {
			c.keep = len(commits)
		}
	}
	return commits, nil
}

// fetchTip fetches the branch with all of its history.
func (c *compactor) fetchTip(ctx context.Context, remote string) (string, error) {
	shallow, err := c.git(ctx, nil, "rev-parse", "--is-shallow-repository")
	if err == nil && strings.TrimSpace(shallow) == "true" {
		err = errors.New("this clone lacks older history, which would be lost unseen: git fetch --unshallow first")
	}
	if err != nil {
		return "", err
	}
	if _, err := c.git(ctx, nil, "fetch", "-q", "--no-tags", remote, "refs/heads/"+c.branch); err != nil {
		return "", err
	}
	tip, err := c.git(ctx, nil, "rev-parse", "FETCH_HEAD")
	return strings.TrimSpace(tip), err
}

// rewrite makes the newest commits anew on one that has the tree of the newest that is
// dropped. The working tree is not touched.
func (c *compactor) rewrite(ctx context.Context, commits []string) (next string, err error) {
	dropped := commits[c.keep:]
	date, err := c.git(ctx, nil, "show", "-s", "--format=%cI", dropped[0])
	if err != nil {
		return "", err
	}
	date = strings.TrimSpace(date)
	message := fmt.Sprintf("Results of %d commits until %s\n\nThe newest of them was %s.\n", len(dropped), date[:len(time.DateOnly)], dropped[0])
	dated := []string{"GIT_AUTHOR_DATE=" + date, "GIT_COMMITTER_DATE=" + date} // not later than what follows it
	if next, err = c.gitWith(ctx, message, dated, "commit-tree", dropped[0]+"^{tree}"); err != nil {
		return "", err
	}
	for i := c.keep - 1; i >= 0; i-- {
		raw, err := c.git(ctx, nil, "cat-file", "commit", commits[i])
		if err != nil {
			return "", err
		}
		if next, err = c.gitWith(ctx, onParent(raw, strings.TrimSpace(next)), nil, "hash-object", "-t", "commit", "-w", "--stdin"); err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(next), nil
}

// onParent is a commit on another parent. Its signature would be wrong.
func onParent(raw, parent string) string {
	head, message, _ := strings.Cut(raw, "\n\n")
	var out []string
	signature := false
	for _, line := range strings.Split(head, "\n") {
		signature = strings.HasPrefix(line, "gpgsig") || signature && strings.HasPrefix(line, " ")
		if !signature && !strings.HasPrefix(line, "parent ") {
			out = append(out, line)
		}
		if strings.HasPrefix(line, "tree ") {
			out = append(out, "parent "+parent)
		}
	}
	return strings.Join(out, "\n") + "\n\n" + message
}
