package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/render"
)

const rounds = 9

// costs are the medians of some rounds.
type costs struct {
	bytes int64
	took  time.Duration
}

func (c costs) String() string {
	size := fmt.Sprintf("%d B", c.bytes)
	if c.bytes >= 100*kb {
		size = fmt.Sprintf("%.1f MB", float64(c.bytes)/mb)
	}
	return fmt.Sprintf("%s, %.1f ms", size, float64(c.took.Microseconds())/1000)
}

// median measures something some times, after once for nothing.
func (s *server) median(do func() error) (costs, error) {
	if err := do(); err != nil {
		return costs{}, err
	}
	return s.after(func() error { return nil }, do)
}

// polls asks where the branch is, which has not moved.
func polls(ctx context.Context, s *server) error {
	for _, refs := range []int{10, 10_000, 200_000} {
		repo := fmt.Sprintf("refs-%d.git", refs)
		if err := s.manyFiles(ctx, repo, 10, func(i int) string { return fmt.Sprint(i) }); err != nil {
			return err
		}
		if err := s.manyRefs(repo, refs); err != nil {
			return err
		}
		source, err := gitsource.NewSource(s.options(repo, "main"))
		if err != nil {
			return err
		}
		tip, err := source.Newer(ctx, "")
		if err != nil {
			return err
		}
		ours, err := s.median(func() error {
			next, err := source.Newer(ctx, tip.Commit)
			if next != nil {
				return errors.New("the branch moved")
			}
			return err
		})
		if err != nil {
			return err
		}
		git, err := s.median(func() error { return s.git(ctx, nil, "ls-remote", s.url(repo), "refs/heads/main") })
		if err != nil {
			return err
		}
		row(fmt.Sprintf("poll, nothing new, %d refs", refs), ours.String(), "1 KB, 10 ms", git.String())
	}
	return nil
}

func (s *server) manyRefs(repo string, refs int) error {
	bare := filepath.Join(s.Root, repo)
	tip, err := exec.Command("git", "-C", bare, "rev-parse", "main").Output()
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range refs - 1 {
		fmt.Fprintf(&b, "%s refs/heads/change/%06d\n", strings.TrimSpace(string(tip)), i)
	}
	return os.WriteFile(filepath.Join(bare, "packed-refs"), []byte(b.String()), 0o644)
}

// fetches gets a commit that changes one file of 10,000.
func fetches(ctx context.Context, s *server) error {
	const repo = "files.git"
	if err := s.manyFiles(ctx, repo, 10_000, fiveKB); err != nil {
		return err
	}
	source, err := gitsource.NewSource(s.options(repo, "main"))
	if err != nil {
		return err
	}
	clone := filepath.Join(s.Root, "clone.git")
	if err := s.git(ctx, nil, "clone", "-q", "--bare", "--depth", "1", s.url(repo), clone); err != nil {
		return err
	}
	known, err := source.Newer(ctx, "")
	if err != nil {
		return err
	}
	round := 0
	push := func() error {
		round++
		return s.commit(ctx, repo, false, func(put func(name, content string)) { put("games/0042/42.yaml", fmt.Sprintf("round: %d\n", round)) })
	}
	var ours, git costs
	ours, err = s.after(push, func() error {
		next, err := source.Newer(ctx, known.Commit)
		if err == nil && next == nil {
			return errors.New("the push was not seen")
		}
		known = next
		return err
	})
	if err != nil {
		return err
	}
	git, err = s.after(push, func() error { return s.git(ctx, nil, "-C", clone, "fetch", "-q", "--depth", "1", "origin", "main") })
	if err != nil {
		return err
	}
	row("fetch after a push of one file of 10,000", ours.String(), fmt.Sprintf("10 KB, %.0f B (1.2 × git)", 1.2*float64(git.bytes)), git.String())
	return nil
}

// after measures something some times, with something before that does not count.
func (s *server) after(prepare, do func() error) (c costs, err error) {
	var sizes []int64
	var times []time.Duration
	for range rounds {
		if err := prepare(); err != nil {
			return c, err
		}
		before, began := s.bytes.Load(), time.Now()
		if err := do(); err != nil {
			return c, err
		}
		times = append(times, time.Since(began))
		time.Sleep(10 * time.Millisecond) // for the last bytes to be counted
		sizes = append(sizes, s.bytes.Load()-before)
	}
	slices.Sort(sizes)
	slices.Sort(times)
	return costs{sizes[rounds/2], times[rounds/2]}, nil
}

func fiveKB(i int) string {
	var b strings.Builder
	for line := 0; b.Len() < 5*kb; line++ {
		fmt.Fprintf(&b, "key-%d-%d: %x\n", i, line, uint64(i*7919+line)*0x9E3779B97F4A7C15)
	}
	return b.String()
}

// tree is a commit as render reads it.
type tree struct{ *gitsource.Snapshot }

func (t tree) Files(dir string) (files []render.File, err error) {
	found, err := t.Snapshot.Files(dir)
	for _, f := range found {
		files = append(files, render.File{Path: f.Path, Size: f.Size, Kind: render.Kind(f.Kind), ID: f.ID})
	}
	return files, err
}
