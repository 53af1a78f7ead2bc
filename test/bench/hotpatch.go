package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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

// byHotpatch releases v2 to pods on v1 by a push, to all at once.
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
		typed := time.Now()
		if err := push(ctx, b); err != nil {
			return o, err
		}
		arrived, err := b.arrived()
		if err != nil {
			return o, err
		}
		o.push = arrived.Sub(typed)
		if o.observed, o.recorded, err = b.follow(ctx, arrived); err != nil {
			return o, err
		}
		after, err := b.Lives(ctx, "game-server", "main")
		o.restarts = changed(before, after)
		o.see(crowd.Report())
		return o, err
	}
}

// arrived is when the server had the commit: git writes the branch's file then.
// What comes before is git's own, and the same for everyone who releases by it.
func (b *bench) arrived() (time.Time, error) {
	branch, err := os.Stat(filepath.Join(b.bare(), "refs/heads/main"))
	if err != nil {
		return time.Time{}, err
	}
	return branch.ModTime(), nil
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
	time.Sleep(time.Second) // what went back to v1 has come to rest
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
// status branch says so. It listens instead of asking: asking often would take
// the time of what is measured.
func (b *bench) follow(ctx context.Context, began time.Time) (observed, recorded time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.allObserved(ctx); err != nil {
		return 0, 0, err
	}
	observed = time.Since(began)
	err = stage.Eventually(ctx, patience, b.inGit)
	return observed, time.Since(began), err
}

// allObserved returns once the agent has written on every pod that it was
// reloaded from another image than its own.
func (b *bench) allObserved(ctx context.Context) error {
	pods, err := b.Kube.CoreV1().Pods(stage.Namespace).Watch(ctx, metav1.ListOptions{LabelSelector: "app=game-server"})
	if err != nil {
		return err
	}
	defer pods.Stop()
	on := map[types.UID]bool{}
	for event := range pods.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("watch the pods: %v", event.Object)
		}
		o, err := stage.Observed(*pod)
		on[pod.UID] = err == nil && len(o.Containers) == 1 && o.Containers[0].State == api.StateReloaded
		if count(on) == servers {
			return nil
		}
	}
	return fmt.Errorf("%d of %d pods observed on v2: %w", count(on), servers, context.Cause(ctx))
}

func count(on map[types.UID]bool) (n int) {
	for _, is := range on {
		if is {
			n++
		}
	}
	return n
}

// inGit looks into the server's files, which the server need not answer for.
func (b *bench) inGit(ctx context.Context) error {
	subject, err := stage.Run(ctx, "", "git", "--git-dir", b.bare(), "log", "-1", "--format=%s", "hotpatch-status")
	if want := fmt.Sprintf("game-server: %d of %d on v2", servers, servers); err == nil && strings.TrimSpace(subject) != want {
		err = fmt.Errorf("the record says %q, want %q", subject, want)
	}
	return err
}
