package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// pusher pushes what the clone has committed.
type pusher func(context.Context, *bench) error

// throughServer pushes as people do; the Git server calls the webhook.
func throughServer(ctx context.Context, b *bench) error {
	_, err := b.repo.Git(ctx, "push", "-q", "origin", "HEAD:main")
	return err
}

// pastServer pushes into the server's files, so that nobody is told.
func pastServer(ctx context.Context, b *bench) error {
	_, err := b.repo.Git(ctx, "push", "-q", b.bare(), "HEAD:main")
	return err
}

func (b *bench) bare() string { return filepath.Join(b.Root, ".cluster/git", stage.RepoName) }

// byHotpatch releases v2 by a push and goes back to v1 afterwards.
func byHotpatch(push pusher) func(context.Context, *bench) (outcome, error) {
	return func(ctx context.Context, b *bench) (o outcome, err error) {
		if err := b.everythingOnV1(ctx); err != nil {
			return o, err
		}
		crowd, err := b.Gather(ctx, "game-server", perServer, pause)
		if err != nil {
			return o, err
		}
		defer crowd.Leave()
		before, err := b.Lives(ctx, "game-server", "main")
		if err != nil {
			return o, err
		}
		if err := b.commitV2(ctx); err != nil {
			return o, err
		}
		began := time.Now()
		if err := push(ctx, b); err != nil {
			return o, err
		}
		if o.observed, o.recorded, err = b.follow(ctx, began); err != nil {
			return o, err
		}
		after, err := b.Lives(ctx, "game-server", "main")
		o.restarts = changed(before, after)
		o.see(crowd.Report())
		return o, err
	}
}

func (o *outcome) see(r stage.Report) { o.dropped, o.longest = len(r.Dropped), r.Longest }

func changed(before, after []stage.Life) (n int) {
	for i := range before {
		if i >= len(after) || before[i] != after[i] {
			n++
		}
	}
	return n
}

func (b *bench) everythingOnV1(ctx context.Context) error {
	if _, err := b.repo.Git(ctx, "fetch", "-q"); err != nil {
		return err
	}
	if err := b.Examples(ctx, b.repo); err != nil {
		return err
	}
	if _, err := b.Settled(ctx, b.repo, "game-server", api.PhaseComplete, servers, servers, patience); err != nil {
		return err
	}
	// All at once: how long one pod takes is told by the agent's own metrics.
	time.Sleep(time.Second)
	return nil
}

func (b *bench) commitV2(ctx context.Context) error {
	for _, change := range [][3]string{{stage.Images, "newTag: v1", "newTag: v2"}, {stage.Policy, "maxConcurrent: 25%", "maxConcurrent: 100%\n    maxUnavailable: 100%"}} {
		if err := b.repo.Replace(change[0], change[1], change[2]); err != nil {
			return err
		}
	}
	_, err := b.repo.Git(ctx, "commit", "-qam", "Release v2")
	return err
}

// follow waits until the agents have observed v2 on all pods, and until the
// status branch says so.
func (b *bench) follow(ctx context.Context, began time.Time) (observed, recorded time.Duration, err error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	revision := ""
	for observed == 0 || recorded == 0 {
		if observed == 0 && b.allObserved(limited, &revision) {
			observed = time.Since(began)
		}
		if recorded == 0 && observed > 0 && b.inGit(limited) {
			recorded = time.Since(began)
		}
		select {
		case <-limited.Done():
			return 0, 0, fmt.Errorf("not on v2 within %s", patience)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return observed, recorded, nil
}

// allObserved asks the pods' annotations: all on another image than their own.
func (b *bench) allObserved(ctx context.Context, revision *string) bool {
	list, err := b.Kube.CoreV1().Pods(stage.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=game-server"})
	if err != nil || len(list.Items) < servers {
		return false
	}
	for _, pod := range list.Items {
		o, err := stage.Observed(pod)
		if err != nil || len(o.Containers) != 1 || o.Containers[0].State != api.StateReloaded {
			return false
		}
		*revision = o.Revision
	}
	return true
}

// inGit looks into the server's files, which costs nobody anything.
func (b *bench) inGit(ctx context.Context) bool {
	subject, err := stage.Run(ctx, "", "git", "--git-dir", b.bare(), "log", "-1", "--format=%s", "hotpatch-status")
	return err == nil && strings.TrimSpace(subject) == fmt.Sprintf("game-server: %d of %d on v2", servers, servers)
}
