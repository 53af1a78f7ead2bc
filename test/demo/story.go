package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

const (
	servers   = 8
	perServer = 4
	patience  = 60 * time.Second // for one change of all pods
)

// opening shows where everything stands, and lets people play.
func (d *demo) opening(ctx context.Context) (err error) {
	chapter("Eight game servers on v1, and people playing")
	if err := d.Examples(ctx, d.repo); err != nil {
		return err
	}
	if err := d.settled(ctx, "game-server", api.PhaseComplete, servers, servers); err != nil {
		return err
	}
	if err := d.settled(ctx, "game-2048", api.PhaseComplete, 2, 2); err != nil {
		return err
	}
	if err := d.kubectl(ctx, "get", "pods"); err != nil {
		return err
	}
	if err := d.status(ctx); err != nil {
		return err
	}
	if d.lives, err = d.Lives(ctx, "game-server", "main"); err != nil {
		return err
	}
	if err := d.gather(ctx); err != nil {
		return err
	}
	return d.servedBy(map[string]int{"v1": servers * perServer})
}

// fiveOfEight is the first seed's table.
func (d *demo) fiveOfEight(ctx context.Context) error {
	chapter("Release v2, hold three pods back")
	if err := d.edit(stage.Images, "newTag: v1", "newTag: v2"); err != nil {
		return err
	}
	if err := d.edit(stage.Policy, "partition: 0", "partition: 3"); err != nil {
		return err
	}
	if err := d.push(ctx, "Release v2 to five servers", "game-server", api.PhasePaused, 5, servers); err != nil {
		return err
	}
	d.holds("5 of 8 pods were observed on v2")
	if err := d.kubectl(ctx, "get", "pods", "-l", "app=game-server", "-L", api.RevisionLabel); err != nil {
		return err
	}
	if err := d.status(ctx, "game-server"); err != nil {
		return err
	}
	return d.servedBy(map[string]int{"v2": 5 * perServer, "v1": 3 * perServer})
}

func (d *demo) allEight(ctx context.Context) error {
	chapter("And to the rest")
	if err := d.edit(stage.Policy, "partition: 3", "partition: 0"); err != nil {
		return err
	}
	if err := d.push(ctx, "Release v2 to all", "game-server", api.PhaseComplete, servers, servers); err != nil {
		return err
	}
	d.holds("8 of 8 pods were observed on v2")
	if err := d.status(ctx, "game-server", "-o", "wide"); err != nil {
		return err
	}
	return d.servedBy(map[string]int{"v2": servers * perServer})
}

// nothingRestarted compares with what was there before the first push.
func (d *demo) nothingRestarted(ctx context.Context) error {
	chapter("Nothing restarted, nobody was disconnected")
	now, err := d.Lives(ctx, "game-server", "main")
	if err != nil {
		return err
	}
	if err := stage.SameLives(d.lives, now); err != nil {
		return err
	}
	d.holds("the same container IDs, start times and PIDs as before, no restart")
	if _, err := d.crowd.States(); err != nil {
		return err
	}
	r := d.crowd.Report()
	d.holds("%d connections, opened before, still answer: %d moves played, none lost, the longest answer took %s",
		r.Players, r.Plays, r.Longest.Round(time.Millisecond))
	return nil
}

// newPage is the second seed's story.
func (d *demo) newPage(ctx context.Context) error {
	chapter("A new page for nginx, by its sidecar")
	next, err := os.ReadFile(filepath.Join(d.Root, "examples/hot-update/next/index.html"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.repo.Dir, stage.Page), next, 0o644); err != nil {
		return err
	}
	typed("cp next/index.html %s", stage.Page)
	if err := d.edit(stage.Filing, "version: v1", "version: v2"); err != nil {
		return err
	}
	if err := d.push(ctx, "2048 v2", "game-2048", api.PhaseComplete, 2, 2); err != nil {
		return err
	}
	if err := d.status(ctx, "game-2048"); err != nil {
		return err
	}
	pods, err := d.Pods(ctx, "hot-update-gs")
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if served, err := stage.Get(ctx, "http://"+pod.Status.PodIP+"/"); err != nil || served != string(next) {
			return fmt.Errorf("pod %s serves another page than the one pushed (%d bytes, want %d): %w", pod.Name, len(served), len(next), err)
		}
	}
	d.holds("both nginx pods serve the page that was pushed")
	return nil
}

func (d *demo) revert(ctx context.Context) error {
	chapter("Back to v1: a revert, as with any code")
	typed("git revert HEAD~2 HEAD~1 && git push")
	if err := d.repo.Revert(ctx, "HEAD~3..HEAD~1"); err != nil {
		return err
	}
	if err := d.settled(ctx, "game-server", api.PhaseComplete, servers, servers); err != nil {
		return err
	}
	if err := d.servedBy(map[string]int{"v1": servers * perServer}); err != nil {
		return err
	}
	now, err := d.Lives(ctx, "game-server", "main")
	if err != nil {
		return err
	}
	d.holds("8 of 8 pods are back on their own root")
	return stage.SameLives(d.lives, now)
}

// killed shows that a patch outlives its container.
func (d *demo) killed(ctx context.Context) error {
	chapter("A container that dies comes back patched")
	if err := d.edit(stage.Images, "newTag: v1", "newTag: v2"); err != nil {
		return err
	}
	if err := d.push(ctx, "v2 once more", "game-server", api.PhaseComplete, servers, servers); err != nil {
		return err
	}
	d.crowd.Leave()
	now, err := d.Lives(ctx, "game-server", "main")
	if err != nil {
		return err
	}
	victim := stage.Youngest(now)
	typed("kill -9 %d   # process 1 of pod %s", victim.HostPID, victim.Pod)
	if err := syscall.Kill(victim.HostPID, syscall.SIGKILL); err != nil {
		return err
	}
	took, err := d.BackOn(ctx, victim, "v2", patience)
	if err != nil {
		return err
	}
	d.holds("kubelet started it from its v1 image again, and %s after the kill it served v2", took.Round(time.Millisecond))
	return d.kubectl(ctx, "get", "pods", "-l", "app=game-server")
}

// record reads the story off the status branch.
func (d *demo) record(ctx context.Context) error {
	chapter("What Git remembers")
	if err := d.settled(ctx, "game-server", api.PhaseComplete, servers, servers); err != nil {
		return err
	}
	typed("git log --oneline origin/hotpatch-status")
	story, err := d.repo.Story(ctx, 50)
	if err != nil {
		return err
	}
	fmt.Print(indent(story))
	for _, line := range []string{
		"game-server: 5 of 8 on v2 (partition 3)", "game-server: 8 of 8 on v2", "game-2048: 2 of 2 on v2", "game-server: 8 of 8 on v1",
	} {
		if !strings.Contains(story, line) {
			return fmt.Errorf("the log of hotpatch-status does not say %q", line)
		}
	}
	d.holds("the log of hotpatch-status tells the story")
	return nil
}

// servedBy checks what the connections, opened before, are served by.
func (d *demo) servedBy(want map[string]int) error {
	got, err := d.crowd.Versions()
	if err != nil {
		return err
	}
	if !maps.Equal(got, want) {
		return fmt.Errorf("the players' connections are served by %v, want %v", got, want)
	}
	d.holds("the players' connections, opened before, are served by %s", inWords(got))
	return nil
}

func inWords(versions map[string]int) string {
	var parts []string
	for _, v := range []string{"v1", "v2"} {
		if versions[v] > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", v, versions[v]))
		}
	}
	return strings.Join(parts, ", ")
}
