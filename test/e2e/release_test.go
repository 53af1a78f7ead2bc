package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// The story of the first seed: five of eight, then all, then back, and nobody
// playing notices anything but the new version.
func TestReleaseUnderPlayers(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()

	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0", "partition: 3")
	s.push("Release v2 to five servers")
	s.settled("game-server", api.PhasePaused, 5, 8)

	s.edit(stage.Policy, "partition: 3", "partition: 0")
	s.push("Release v2 to all")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v2"] != 32 || len(got) != 1 {
		t.Errorf("connections opened before are served by %v, want 32 by v2", got)
	}
	report := crowd.Report()
	t.Logf("%d plays, longest answer %s", report.Plays, report.Longest)
}

func TestPartitionHoldsThreeBack(t *testing.T) {
	s := open(t)
	crowd := s.gather()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0", `partition: "37%"`)
	s.push("Release v2 to some servers, by percent")
	s.settled("game-server", api.PhasePaused, 5, 8)
	if got := s.versions(crowd); got["v2"] != 20 || got["v1"] != 12 {
		t.Errorf("connections are served by %v, want 20 by v2 and 12 by v1", got)
	}
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	for i, pod := range pods {
		o, err := stage.Observed(pod)
		s.must(err)
		if patched := o.Containers[0].State == api.StateReloaded; patched != (i < 5) {
			t.Errorf("pod %s, number %d by name: observed %s", pod.Name, i, o.Containers[0].State)
		}
	}
	s.edit(stage.Policy, `partition: "37%"`, "partition: 8")
	s.push("Take it back from all")
	s.settled("game-server", api.PhasePaused, 0, 8)
}

func TestRevertIsTheRollback(t *testing.T) {
	s := open(t)
	before := s.lives()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("Release v2")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	crowd := s.gather()
	s.must(s.repo.Revert(s.ctx, "HEAD"))
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v1"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v1", got)
	}
	s.onOwnRoots()
}

func (s *scene) onOwnRoots() {
	s.Helper()
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	for _, pod := range pods {
		if o, err := stage.Observed(pod); err != nil || o.Containers[0].State != api.StateRestored {
			s.Errorf("pod %s: observed %+v, %v; want it on its own root", pod.Name, o, err)
		}
	}
}

// A HotPatch that says so takes back what it did when it is taken out of Git.
func TestDeletedHotPatchTakesBackItsImages(t *testing.T) {
	const file = "hot-patch/hotpatch/game-server.yaml"
	s := open(t)
	before := s.lives()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(file, "spec:", "spec:\n  onDelete: Restore")
	s.push("Release v2")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	crowd := s.gather()
	s.edit(stage.Images, "resources:\n- game-server.yaml\n", "")
	s.push("No game server any more")
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		story, err := s.repo.Story(ctx, 5)
		if err == nil && !strings.Contains(story, "game-server: removed from Git, its 8 pods are back on their own images") {
			err = fmt.Errorf("the removal is not recorded: %s", story)
		}
		return err
	}))
	s.onOwnRoots()
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v1"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v1", got)
	}
}

// A container that dies comes back from pod.spec's image; the agent patches it
// again, without anyone asking.
func TestKilledContainerComesBackPatched(t *testing.T) {
	s := open(t)
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("Release v2")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	victim := stage.Youngest(s.lives())
	s.must(syscall.Kill(victim.HostPID, syscall.SIGKILL))
	took, err := on.BackOn(s.ctx, victim, "v2", limit)
	s.must(err)
	t.Logf("back on v2 %s after the kill", took.Round(time.Millisecond))
	s.settled("game-server", api.PhaseComplete, 8, 8)
}

// The story of the second seed: a file of the repository reaches both pods.
func TestFileReachesNginx(t *testing.T) {
	s := open(t)
	before := s.filed()
	next, err := os.ReadFile(filepath.Join(on.Root, "examples/hot-update/next/index.html"))
	s.must(err)
	s.must(os.WriteFile(filepath.Join(s.repo.Dir, stage.Page), next, 0o644))
	s.edit(stage.Filing, "version: v1", "version: v2")
	s.push("2048 v2")
	s.settled("game-2048", api.PhaseComplete, 2, 2)
	pods, err := on.Pods(s.ctx, "hot-update-gs")
	s.must(err)
	for _, pod := range pods {
		if got, err := stage.Get(s.ctx, "http://"+pod.Status.PodIP+"/"); err != nil || got != string(next) {
			t.Errorf("pod %s serves %d bytes that are not the new page, %v", pod.Name, len(got), err)
		}
	}
	s.must(stage.SameLives(before, s.filed()))
}

// filed are the lives of all containers of the pods whose file is updated.
func (s *scene) filed() (lives []stage.Life) {
	s.Helper()
	for _, container := range []string{"game-2048", "sidecar"} {
		some, err := on.Lives(s.ctx, "hot-update-gs", container)
		s.must(err)
		lives = append(lives, some...)
	}
	return lives
}

// What somebody puts in a pod by hand does not stay where Git says otherwise.
func TestFileReplacedByHandIsPutRight(t *testing.T) {
	s := open(t)
	pods, err := on.Pods(s.ctx, "hot-update-gs")
	s.must(err)
	s.must(s.post(pods[0].Status.PodIP, "version=v9&url="+s.serve("/index.html", "rogue")))
	want, err := os.ReadFile(filepath.Join(s.repo.Dir, stage.Page))
	s.must(err)
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		got, err := stage.Get(ctx, "http://"+pods[0].Status.PodIP+"/")
		if err == nil && got != string(want) {
			err = fmt.Errorf("it serves %.20q", got)
		}
		return err
	}))
	s.settled("game-2048", api.PhaseComplete, 2, 2)
}

// The seed's curl line, as printed there, against a pod with the seed's config,
// for which no HotPatch asks anything.
func TestSeedsCurlLine(t *testing.T) {
	s := open(t)
	s.must(os.RemoveAll(filepath.Join(s.repo.Dir, "hot-update/hotpatch")))
	s.push("The page is done by hand")
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		if _, err := s.repo.Status(ctx, "game-2048"); err == nil {
			return errors.New("the record is still there")
		}
		return nil
	}))
	pods, err := on.Pods(s.ctx, "hot-update-gs")
	s.must(err)
	upstream := s.serve("/v2/index.html", "by hand")
	s.must(s.post(pods[0].Status.PodIP, "version=v3&url="+upstream))
	if got, err := stage.Get(s.ctx, "http://"+pods[0].Status.PodIP+"/"); err != nil || got != "by hand" {
		t.Errorf("nginx serves %q, %v", got, err)
	}
	pods, err = on.Pods(s.ctx, "hot-update-gs")
	s.must(err)
	if got := pods[0].Annotations["sidecar.vke.volcengine.com/hot-update-result"]; got != "v3: Update success" {
		t.Errorf("annotation %q", got)
	}
	result, err := on.Kubectl(s.ctx, "-n", "kube-system", "get", "configmap", "sidecar-result", "-o", "yaml")
	s.must(err)
	if !strings.Contains(result, "default-"+pods[0].Name) || !strings.Contains(result, "v3: "+upstream) {
		t.Errorf("ConfigMap:\n%s", result)
	}
}

// post is the seed's curl line.
func (s *scene) post(ip, form string) error {
	out, err := stage.Run(s.ctx, "", "curl", "-sS", "-k", "-X", "POST", "-d", form, "http://"+ip+":5000/hot-update")
	if err == nil && out != "File downloaded and update successfully" {
		err = fmt.Errorf("the sidecar answers %q", out)
	}
	return err
}
