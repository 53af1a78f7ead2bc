package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// Someone holds a release before it begins, and later lets it go: until then no
// pod is asked for anything.
func TestSuspendedStartsNothing(t *testing.T) {
	s := open(t)
	before, crowd := s.lives(), s.gather()
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:", "  suspend: true\n  rollout:")
	s.push("Prepare v2, but wait")
	status := s.settled("game-server", api.PhasePaused, 0, 8)
	if status.Message != "suspended in Git" {
		t.Errorf("the record says %q", status.Message)
	}
	s.plans(0, "suspended in Git", "nothing would change now")
	s.nobodyIsAsked()

	s.edit(stage.Policy, "  suspend: true\n", "")
	s.push("Release v2")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
	if got := s.versions(crowd); got["v2"] != 32 {
		t.Errorf("connections are served by %v, want 32 by v2", got)
	}
}

// A window that is half a day away holds a release; one that is open lets it go.
func TestWindowHoldsARelease(t *testing.T) {
	s := open(t)
	before := s.lives()
	opens := time.Now().UTC().Add(12 * time.Hour).Truncate(time.Hour)
	closed := fmt.Sprintf(`{schedule: "0 %d * * *", duration: 1h}`, opens.Hour())
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", "  rollout:\n    window: "+closed+"\n")
	s.push("Release v2 by night")
	status := s.settled("game-server", api.PhasePaused, 0, 8)
	next := nextOpens(opens)
	if status.Message != next {
		t.Errorf("the record says %q, want %q", status.Message, next)
	}
	s.plans(0, next, "nothing would change now")
	s.nobodyIsAsked()

	s.edit(stage.Policy, closed, `{schedule: "* * * * *", duration: 1h, timeZone: Asia/Shanghai}`)
	s.push("Release v2 at any time")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))
}

// Two servers are to be first; the second waits until the first has stood for two
// seconds.
func TestOrderAndMinReadySeconds(t *testing.T) {
	s := open(t)
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	first, second := pods[5].Name, pods[2].Name
	s.prefer(first, "20")
	s.prefer(second, "10")
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0 ", "partition: 6 ")
	s.edit(stage.Policy, "maxConcurrent: 25%", "maxConcurrent: 1\n    minReadySeconds: 2\n    order: [priority, newest]")
	s.push("Release v2 to those that matter least")
	s.settled("game-server", api.PhasePaused, 2, 8)
	var seen []time.Time
	for _, name := range []string{first, second} {
		pod, err := on.Kube.CoreV1().Pods(stage.Namespace).Get(s.ctx, name, metav1.GetOptions{})
		s.must(err)
		o, err := stage.Observed(*pod)
		s.must(err)
		if o.Containers[0].State != api.StateReloaded {
			t.Errorf("pod %s was to be among the first, and is %s", name, o.Containers[0].State)
		}
		seen = append(seen, o.Containers[0].Time)
	}
	if wait := seen[1].Sub(seen[0]); wait < 2*time.Second {
		t.Errorf("the second server followed after %s, want two seconds", wait)
	}
}

// Zones take turns: of the first four servers two are in each, whatever their names.
func TestZonesTakeTurns(t *testing.T) {
	const label = "topology.kubernetes.io/zone"
	s := open(t)
	pods, err := on.Pods(s.ctx, "game-server")
	s.must(err)
	zones := map[string]string{}
	for i, pod := range pods {
		zones[pod.Name] = []string{"east", "west"}[i/6] // by name, six would be in the east
		s.kubectl("-n", stage.Namespace, "label", "--overwrite", "pod", pod.Name, label+"="+zones[pod.Name])
		t.Cleanup(func() { s.unlabel(pod.Name, label) })
	}
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "partition: 0 ", "partition: 4 ")
	s.edit(stage.Policy, "maxConcurrent: 25%", "maxConcurrent: 25%\n    order: [zone-spread]")
	s.push("Release v2 to half of them, in all zones")
	s.settled("game-server", api.PhasePaused, 4, 8)
	in := map[string]int{}
	for pod, version := range s.served("game-server") {
		if version == "v2" {
			in[zones[pod]]++
		}
	}
	if in["east"] != 2 || in["west"] != 2 {
		t.Errorf("of four servers on v2 there are %v, want two in each zone", in)
	}
}

// prefer gives a pod a priority until the test ends.
func (s *scene) prefer(pod, priority string) {
	s.Helper()
	const label = "game.kruise.io/gs-update-priority"
	_, err := on.Kubectl(s.ctx, "-n", stage.Namespace, "label", "pod", pod, label+"="+priority)
	s.must(err)
	s.Cleanup(func() { on.Kubectl(context.Background(), "-n", stage.Namespace, "label", "pod", pod, label+"-") })
}
