package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/render"
)

const hotPatch = `apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata: {name: game-%d, namespace: default}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: game-%d}
  containers:
  - name: main
    image: registry.example/game:v%d
`

// renders builds 1,000 HotPatches, ten in each of a hundred kustomizations, and once
// more after one of them has changed.
func renders(ctx context.Context, s *server) error {
	const repo = "wishes.git"
	if err := s.Init(ctx, repo); err != nil {
		return err
	}
	err := s.commit(ctx, repo, true, func(put func(name, content string)) {
		for i := range 100 {
			var names []string
			for n := i * 10; n < i*10+10; n++ {
				put(fmt.Sprintf("games/%03d/%04d.yaml", i, n), fmt.Sprintf(hotPatch, n, n, 1))
				names = append(names, fmt.Sprintf("%04d.yaml", n))
			}
			put(fmt.Sprintf("games/%03d/kustomization.yaml", i), "resources: ["+strings.Join(names, ", ")+"]\n")
		}
	})
	if err != nil {
		return err
	}
	source, err := gitsource.NewSource(s.options(repo, "main"))
	if err != nil {
		return err
	}
	known := ""
	var renderer render.Renderer
	for v := 1; v <= 2; v++ {
		snapshot, err := source.Newer(ctx, known)
		if err != nil {
			return err
		}
		known = snapshot.Commit
		began := time.Now()
		result := renderer.Render(ctx, tree{snapshot}, ".")
		took := time.Since(began)
		if len(result.Items) != 1000 || len(result.Errors) > 0 {
			return fmt.Errorf("%d HotPatches: %w", len(result.Items), errors.Join(result.Errors...))
		}
		row([]string{"", "render 1,000 HotPatches", "render them after one has changed"}[v], took.Round(time.Millisecond).String(), []string{"", "–", "cost of its own directory"}[v], "–")
		if err := s.commit(ctx, repo, false, func(put func(name, content string)) { put("games/007/0070.yaml", fmt.Sprintf(hotPatch, 70, 70, 2)) }); err != nil {
			return err
		}
	}
	return nil
}

// commits makes commits of 1,000 files of results. What the server takes to push
// them is not counted.
func commits(ctx context.Context, s *server) error {
	const repo = "results.git"
	if err := s.Init(ctx, repo); err != nil {
		return err
	}
	w, err := gitsource.NewWriter(gitsource.WriterOptions{Options: s.options(repo, "hotpatch-status"), Author: gitsource.Person{Name: "Hotpatch", Email: "hotpatch@bench"}})
	if err != nil {
		return err
	}
	var best, push time.Duration
	for round := range rounds {
		files := map[string][]byte{}
		for i := range 1000 {
			files[fmt.Sprintf("clusters/bench/default/game-%04d.yaml", i)] = []byte(fmt.Sprintf("phase: Complete\nround: %d\ngame: %d\n", round, i))
		}
		began := time.Now()
		if _, err := w.Commit(ctx, gitsource.Change{Files: files, Subject: "1,000 results"}); err != nil {
			return err
		}
		took := time.Since(began)
		s.mu.Lock()
		before := s.begun["git-receive-pack"].Sub(began) - s.spent["info/refs"]
		s.mu.Unlock()
		if round == 0 || before < best {
			best, push = before, took-before
		}
	}
	row("commit of 1,000 files, before the push", fmt.Sprintf("%.1f ms (the push: %d ms)", float64(best.Microseconds())/1000, push.Milliseconds()), "20 ms", "–")
	return nil
}

// memory reads large repositories in processes of their own, with and without a
// directory for what has no room in memory.
func memory(ctx context.Context, s *server) error {
	for _, large := range []struct {
		repo, what string
		files      int
		content    func(int) string
	}{
		{"many.git", "100,000 files of 250 bytes", 100_000, func(i int) string { return fmt.Sprintf(hotPatch, i, i, 1) }},
		{"large.git", "40,000 files of 5 KB", 40_000, fiveKB},
	} {
		if err := s.manyFiles(ctx, large.repo, large.files, large.content); err != nil {
			return err
		}
		for _, way := range []struct{ what, cache, target string }{{"all in memory", "", "–"}, {"the most of it in a file", s.Root, "150 MB"}} {
			held, err := s.held(ctx, large.repo, way.cache)
			if err != nil {
				return err
			}
			row(fmt.Sprintf("memory (RSS) with %s, %s", large.what, way.what), held, way.target, "–")
		}
	}
	return nil
}

// held is what a process says that has read a repository.
func (s *server) held(ctx context.Context, repo, cache string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, self, "-hold", s.url(repo), "-ca", s.ca, "-cache", cache).Output()
	if err != nil {
		return "", fmt.Errorf("read a large repository: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// hold reads a branch, polls once more, and says what that takes.
func hold(ctx context.Context, url, ca, cache string) error {
	source, err := gitsource.NewSource(gitsource.Options{URL: url, Branch: "main", Auth: gitsource.Auth{CAFile: ca}, CacheDir: cache})
	if err != nil {
		return err
	}
	began := time.Now()
	tip, err := source.Newer(ctx, "")
	if err != nil {
		return err
	}
	took := time.Since(began)
	files, err := tip.Files(".")
	if err != nil {
		return err
	}
	if _, err := source.Newer(ctx, tip.Commit); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	now, most := regexp.MustCompile(`VmRSS:\s+(\d+)`).FindSubmatch(status), regexp.MustCompile(`VmHWM:\s+(\d+)`).FindSubmatch(status)
	if now == nil || most == nil {
		return errors.New("the kernel does not say how much memory this takes")
	}
	fmt.Printf("%s kB, %s kB at the most; %d files read in %.1f s\n", now[1], most[1], len(files), took.Seconds())
	return nil
}
