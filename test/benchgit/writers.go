package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
)

// crowd has twenty clusters commit to one branch at once, four times each, and tells
// of the one that waited longest.
func crowd(ctx context.Context, s *server) error {
	const repo, writers, each = "shared.git", 20, 4
	if err := s.Init(ctx, repo); err != nil {
		return err
	}
	took, errs := make([]time.Duration, writers), make([]error, writers)
	var all sync.WaitGroup
	for n := range writers {
		author := gitsource.Person{Name: "Hotpatch", Email: fmt.Sprintf("hotpatch@c%d", n)}
		w, err := gitsource.NewWriter(gitsource.WriterOptions{Options: s.options(repo, "hotpatch-status"), Author: author})
		if err != nil {
			return err
		}
		all.Go(func() { took[n], errs[n] = slowest(ctx, w, n, each) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	most := time.Duration(0)
	for _, t := range took {
		most = max(most, t)
	}
	row(fmt.Sprintf("%d writers on one branch, %d commits each: the slowest", writers, each), fmt.Sprintf("%.1f s", most.Seconds()), "5 s", "–")
	return nil
}

// slowest of so many commits of one writer.
func slowest(ctx context.Context, w *gitsource.Writer, n, commits int) (most time.Duration, err error) {
	for i := range commits {
		began := time.Now()
		file := map[string][]byte{fmt.Sprintf("clusters/c%d/default/game.yaml", n): fmt.Appendf(nil, "round: %d\n", i)}
		if _, err := w.Commit(ctx, gitsource.Change{Files: file, Subject: "a result"}); err != nil {
			return 0, fmt.Errorf("writer %d, commit %d: %w", n, i, err)
		}
		most = max(most, time.Since(began))
	}
	return most, nil
}
