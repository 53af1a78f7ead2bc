package nodeagent

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

var hup = &api.Reload{Signal: "SIGHUP"}

func TestThereAndBack(t *testing.T) {
	s := tell(t)
	s.agent()
	conn := s.main.Dial(t)
	conn.Must(t, "write /mark own")
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: hup})
	is := s.sees("r2", api.StateReloaded)
	if is.ContainerID != "containerd://"+s.main.ID || is.Image != refs["v2"] || is.Message != "" || is.Time.IsZero() {
		t.Errorf("observed %+v", is)
	}
	if got := conn.Must(t, "read /version"); got != "v2" {
		t.Errorf("the old connection reads %s", got)
	}
	s.becomes("hangups", "1")
	s.said("r2", api.EventPatched)

	s.wants("r1", api.DesiredContainer{Name: "main", Reload: hup})
	if is := s.sees("r1", api.StateRestored); is.Image != refs["v1"] {
		t.Errorf("observed %+v", is)
	}
	if version, mark := conn.Must(t, "read /version"), conn.Must(t, "read /mark"); version != "v1" || mark != "own" {
		t.Errorf("back on %s with the mark %q", version, mark)
	}
	s.becomes("hangups", "2")
	s.said("r1", api.EventPatched, api.EventPatched)
}

// said waits for the label, the condition and the events, which come last.
func (s *story) said(revision string, reasons ...string) {
	s.Helper()
	var pod *corev1.Pod
	for end := time.Now().Add(runtimetest.Limit(3 * time.Second)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		pod = getPod(s.T, s.kube)
		c := upToDate(pod)
		if pod.Labels[api.RevisionLabel] == revision && c != nil && c.Status == corev1.ConditionTrue && slices.Equal(events(s.T, s.kube), reasons) {
			return
		}
	}
	s.Errorf("labels %v, condition %+v, events %v", pod.Labels, upToDate(pod), events(s.T, s.kube))
}

func TestWhatCannotBeDoneChangesNothing(t *testing.T) {
	s := tell(t)
	s.agent()
	for name, c := range map[string]struct {
		want api.DesiredContainer
		says string
	}{
		"nobody":  {api.DesiredContainer{Name: "other", Image: refs["v2"]}, "no container other; its containers are main"},
		"no name": {api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: &api.Reload{Signal: "SIGHUP", Process: "nginx"}}, "nothing was changed"},
		"a tag":   {api.DesiredContainer{Name: "main", Image: "test/v2:latest"}, "not given by digest"},
	} {
		s.wants(name, c.want)
		if is := s.sees(name, api.StateFailed); !strings.Contains(is.Message, c.says) {
			t.Errorf("%s: observed %+v", name, is)
		}
		s.becomes("read /version", "v1")
		s.becomes("hangups", "0")
		if roots := s.roots(); len(roots) != 0 {
			t.Errorf("%s: roots were made: %v", name, roots)
		}
		if label := getPod(t, s.kube).Labels[api.RevisionLabel]; label != "" {
			t.Errorf("%s: the label is %s", name, label)
		}
	}
}

// As an agent leaves it that was killed between the pivot and the signal.
func TestAReloadThatIsPendingIsDeliveredOnce(t *testing.T) {
	s := tell(t)
	stop := s.agent()
	want := api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: hup}
	s.wants("r2", want)
	s.sees("r2", api.StateReloaded)
	s.becomes("hangups", "1")
	stop()
	if err := rt.SetLabels(t.Context(), s.main.ID, map[string]string{reloadLabel: "r2"}); err != nil {
		t.Fatal(err)
	}
	stop = s.agent()
	s.becomes("hangups", "2")
	s.wants("r2-again", want)
	s.sees("r2-again", api.StateReloaded)
	stop()
	s.agent()
	s.wants("r2-and-again", want)
	s.sees("r2-and-again", api.StateReloaded)
	s.becomes("hangups", "2")
	if got, err := rt.Labels(t.Context(), s.main.ID); err != nil || got[reloadLabel] != "" {
		t.Errorf("labels %v, %v", got, err)
	}
}

// Somebody forgot the reload, or got it wrong: the image stays, its program is told.
func TestAReloadThatIsAskedForLaterIsDeliveredOnce(t *testing.T) {
	s := tell(t)
	s.agent()
	want := api.DesiredContainer{Name: "main", Image: refs["v2"]}
	for revision, step := range []struct {
		reload  *api.Reload
		state   api.State
		hangups string
	}{
		{nil, api.StatePatched, "0"},
		{hup, api.StateReloaded, "1"},
		{hup, api.StateReloaded, "1"}, // something else of the revision has changed
		{&api.Reload{Signal: "SIGHUP", TimeoutSeconds: 5}, api.StateReloaded, "1"},
		{&api.Reload{Signal: "SIGHUP", Process: "server"}, api.StateReloaded, "2"},
		{nil, api.StatePatched, "2"},
	} {
		want.Reload = step.reload
		s.wants(fmt.Sprint(revision), want)
		s.sees(fmt.Sprint(revision), step.state)
		s.becomes("hangups", step.hangups)
	}
	want.Reload = &api.Reload{Signal: "SIGHUP", Require: api.RequireNewBinary, TimeoutSeconds: 1}
	s.wants("required", want)
	if is := s.says("required", "on this one since before the reload"); is.State != api.StateFailed || is.Image != refs["v2"] {
		t.Errorf("observed %+v", is)
	}
	s.says("required", "patched 3 times in vain")
	s.becomes("hangups", "5")
}

// kubelet says that the container ended; containerd that another one started.
func TestARestartIsWaitedForAndSwappedAgain(t *testing.T) {
	s := tell(t)
	s.agent()
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"]})
	first := s.sees("r2", api.StatePatched)
	if err := s.main.Kill(); err != nil {
		t.Fatal(err)
	}
	s.patch(map[string]any{"status": map[string]any{"containerStatuses": []corev1.ContainerStatus{{Name: "main",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}}}}}})
	if is := s.sees("r2", api.StateWaiting); is.Message != "" {
		t.Errorf("observed %+v", is)
	}
	s.start()
	second := s.sees("r2", api.StatePatched)
	if second.ContainerID == first.ContainerID || second.Image != refs["v2"] {
		t.Errorf("observed %+v, then %+v", first, second)
	}
	s.becomes("read /version", "v2")
	s.said("r2", api.EventPatched, api.EventPatched)
}

// /data is on the root of v2; however many others come and go, that one stays.
// The program becomes the new one each time, or its old root would stay too.
func TestACarriedPathKeepsItsRoot(t *testing.T) {
	s := tell(t, "REEXEC=1")
	s.agent()
	s.wants("r0", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: hup})
	s.sees("r0", api.StateReloaded)
	s.becomes("write /data/save game", "ok")
	s.becomes("write /run/pid 1", "ok")
	for i, version := range []string{"v3", "v2", "v3", "v2"} {
		revision := fmt.Sprint("carry-", i)
		s.wants(revision, api.DesiredContainer{Name: "main", Image: refs[version], Carry: []string{"/data"}, Reload: hup})
		s.sees(revision, api.StateReloaded)
		s.becomes("read /version", version)
		s.becomes("read /data/save", "game")
		s.becomes("read /data/of", "v2")
		s.becomes("read /run/pid", "1")
		s.keeps(2) // that of now and that of /data
	}
}

// A swap that fails is tried again for as long as it takes.
func TestFailedSwapsLeaveNoRootsBehind(t *testing.T) {
	s := tell(t)
	s.agent()
	s.wants("r1", api.DesiredContainer{Name: "main"})
	s.sees("r1", api.StateRestored)
	if err := os.Remove(s.options.StageDir); err != nil {
		t.Fatal(err)
	}
	for i, version := range []string{"v2", "v3", "v2", "v3"} {
		revision := fmt.Sprint("broken-", i)
		s.wants(revision, api.DesiredContainer{Name: "main", Image: refs[version]})
		if is := s.sees(revision, api.StateFailed); !strings.Contains(is.Message, "nothing was changed") || is.Image != refs["v1"] {
			t.Errorf("observed %+v", is)
		}
	}
	if roots := s.roots(); len(roots) > 1 {
		t.Errorf("%d roots are kept of swaps that failed", len(roots))
	}
	if err := os.Mkdir(s.options.StageDir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.sees("broken-3", api.StatePatched)
	s.becomes("read /version", "v3")
}

// A program that never executes itself anew is on its own root forever; that is
// no reason to keep what it was never on.
func TestRootsOfAProgramThatStaysAreRemoved(t *testing.T) {
	s := tell(t)
	s.agent()
	for i, version := range []string{"v2", "v3", "v2", "v3"} {
		revision := fmt.Sprint("r", i)
		s.wants(revision, api.DesiredContainer{Name: "main", Image: refs[version]})
		if is := s.sees(revision, api.StatePatched); is.OldProcesses != 1 {
			t.Errorf("%d old processes, want the one", is.OldProcesses)
		}
		s.becomes("read /version", version)
		s.keeps(1)
	}
}

// One that is still on a root of ours keeps that one, whatever comes and goes
// after it. An agent that was not there when it was left keeps what may be it.
func TestRootsInUseAreKept(t *testing.T) {
	s := tell(t, "REEXEC=1")
	stop := s.agent()
	s.wants("r1", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: hup})
	s.sees("r1", api.StateReloaded)
	s.becomes("hangups", "0") // it is the new program, which nobody has told anything
	s.swaps("first", 2)
	stop()
	s.agent()
	s.swaps("second", 2)
	s.wants("last", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: hup})
	s.sees("last", api.StateReloaded)
	s.keeps(1)
}

// swaps goes to v3 and back, n times, with a program that stays what it is.
func (s *story) swaps(name string, n int) {
	s.Helper()
	for i := range 2 * n {
		revision, version := fmt.Sprint(name, i), []string{"v3", "v2"}[i%2]
		s.wants(revision, api.DesiredContainer{Name: "main", Image: refs[version]})
		s.sees(revision, api.StatePatched)
		s.becomes("read /version", version)
		s.keeps(2)
	}
}

// Held up between creation and start, it never runs on its own image.
func TestARestartedContainerStartsPatched(t *testing.T) {
	s := tell(t)
	s.agent()
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: hup})
	first := s.sees("r2", api.StateReloaded)
	s.becomes("born", "v1")
	if err := s.main.Kill(); err != nil {
		t.Fatal(err)
	}
	s.startAfter(200 * time.Millisecond)
	s.becomes("born", "v2")
	for is := first; is.ContainerID == first.ContainerID; {
		is = s.sees("r2", api.StateReloaded)
	}
	s.becomes("hangups", "0") // there was nobody to be told
	s.keeps(1)
}

// A signal would end it: Go's runtime exits on one that nobody listens for yet.
func TestAProgramThatHasJustStartedIsToldLater(t *testing.T) {
	s := tell(t)
	s.main.Remove()
	began := time.Now()
	s.start()
	s.options.Youth = time.Second + 5*time.Since(began) // an emulated machine is slow in all it does
	s.agent()
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: hup})
	is := s.sees("r2", api.StateWaiting)
	if is.Image != refs["v2"] || is.Message != errYoung.Error() {
		t.Errorf("observed %+v", is)
	}
	s.becomes("read /version", "v2")
	s.becomes("hangups", "0")
	s.sees("r2", api.StateReloaded)
	s.becomes("hangups", "1")
}
