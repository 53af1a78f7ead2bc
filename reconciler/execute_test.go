package reconciler

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// written notes what is annotated; fail, if set, breaks the write.
type written struct {
	mu   sync.Mutex
	log  []string
	fail error
}

func (w *written) Annotate(_ context.Context, ref kube.Ref, annotations map[string]*string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, value := range annotations {
		what := " removed"
		if value != nil {
			what = "=" + *value
		}
		w.log = append(w.log, ref.Name+"@"+ref.Version+" "+strings.TrimPrefix(key, api.Group+"/")+what)
	}
	return w.fail
}

func (w *written) has(t *testing.T, line string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.log {
		if l == line {
			return
		}
	}
	t.Errorf("not written: %s\nwritten:\n%s", line, strings.Join(w.log, "\n"))
}

func testExecutor(pods annotator) *executor {
	j := newJobs(newRetries(func() {}), func() {})
	return newExecutor(Options{}.owner, pods, newSidecars("", SidecarTLS{}), &files{base: "http://10.0.0.1:8080", callers: newCallers(nil, nil)}, j, newMetrics())
}

func testPod(name string) kube.Pod {
	return kube.Pod{Pod: plan.Pod{Name: name, UID: "uid-" + name}, Ref: kube.Ref{Namespace: "default", Name: name, UID: "uid-" + name, Version: "7"}}
}

var v2 = plan.Revision{ID: "r2", Containers: []api.DesiredContainer{{Name: "main", Image: "game@sha256:2"}, {Name: "log"}}}

func (e *executor) do(t *testing.T, pod kube.Pod, kind plan.Kind, revision plan.Revision) error {
	t.Helper()
	e.execute(context.Background(), "game", []kube.Pod{pod}, []plan.Action{{Kind: kind, Pod: pod.Name, UID: pod.UID, Revision: revision, Reason: "1 of 2\npods"}})
	e.jobs.wait()
	return e.jobs.failed(pod.UID, string(kind)+" "+revision.ID)
}

func TestPrepareAsksForImagesThatAreNotThePodsOwn(t *testing.T) {
	w := &written{}
	if err := testExecutor(w).do(t, testPod("game-0"), plan.Prepare, v2); err != nil {
		t.Fatal(err)
	}
	w.has(t, `game-0@7 prepare={"revision":"r2","containers":[{"name":"main","image":"game@sha256:2"}]}`)
}

func TestApplyTellsTheAgentAndEndsThePreparation(t *testing.T) {
	w := &written{}
	if err := testExecutor(w).do(t, testPod("game-0"), plan.Apply, v2); err != nil {
		t.Fatal(err)
	}
	w.has(t, `game-0@7 desired={"hotpatch":"game","revision":"r2","containers":[{"name":"main","image":"game@sha256:2"},{"name":"log"}],"reason":"1 of 2; pods"}`)
	w.has(t, "game-0@7 prepare removed")
}

func TestFilesComeBeforeTheAgentIsTold(t *testing.T) {
	w := &written{}
	var called []string
	pod := testPod("web-0")
	pod.Sidecar = answering(t, func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		url, ticket, _ := strings.Cut(r.PostFormValue("url"), "?until=")
		called = append(called, fmt.Sprint(r.PostFormValue("path"), " ", url, " ", ticket != ""))
		if len(w.log) > 0 {
			t.Error("the agent was told before the files were there")
		}
	})
	pod.Files = api.ObservedFiles{Files: []api.ObservedFile{{Path: "old.css", Version: "v1", SHA256: "cc", State: api.FileUpdated}}}
	revision := plan.Revision{ID: "r3", Files: []api.DesiredFile{
		{Path: "index.html", Version: "v2", SHA256: "aa"},
		{Path: "far.js", Version: "v1", SHA256: "bb", URL: "https://cdn.example/far.js"},
		{Path: "old.css", Version: "v1", SHA256: "cc"},
	}}
	if err := testExecutor(w).do(t, pod, plan.Apply, revision); err != nil {
		t.Fatal(err)
	}
	want := "index.html http://10.0.0.1:8080/files/sha256/aa/index.html true|far.js https://cdn.example/far.js false"
	if got := strings.Join(called, "|"); got != want {
		t.Errorf("called %s\nwant   %s", got, want)
	}
	w.has(t, "web-0@ prepare removed") // in any version: the sidecar has written too
}

// Two reconcilers would call the same sidecar before either knew of the other.
func TestAPodFollowsUsBeforeItsSidecarIsCalled(t *testing.T) {
	w := &written{}
	e := testExecutor(w)
	e.owner = Options{Namespace: "hotpatch-games", Cluster: "games", Repo: "https://git.example/games.git"}.owner
	follows := `web-0@7 owner={"namespace":"hotpatch-games","hotpatch":"game","cluster":"games","repo":"https://git.example/games.git"}`
	pod := testPod("web-0")
	calls := 0
	pod.Sidecar = answering(t, func(http.ResponseWriter, *http.Request) {
		calls++
		w.has(t, follows)
	})
	revision := plan.Revision{ID: "r3", Files: []api.DesiredFile{{Path: "index.html", Version: "v2", SHA256: "aa"}}}
	w.fail = kube.ErrChanged // another one was faster
	if err := e.do(t, pod, plan.Apply, revision); err != nil || calls != 0 {
		t.Errorf("%v, and the sidecar was called %d times", err, calls)
	}
	w.log, w.fail = nil, nil
	if err := e.do(t, pod, plan.Apply, revision); err != nil || calls != 1 {
		t.Errorf("%v, and the sidecar was called %d times", err, calls)
	}
	pod.Owner.Namespace, w.log, calls = "hotpatch-games", nil, 0
	pod.Sidecar = answering(t, func(http.ResponseWriter, *http.Request) { calls = len(w.log) })
	if err := e.do(t, pod, plan.Apply, revision); err != nil || calls != 0 {
		t.Errorf("%v, and it was told %d times that it follows us", err, calls)
	}
}

func TestSidecarThatDoesNotAnswerFailsOnlyItsPod(t *testing.T) {
	w := &written{}
	e := testExecutor(w)
	pod := testPod("web-0")
	pod.Sidecar = "127.0.0.1:1"
	revision := plan.Revision{ID: "r3", Files: []api.DesiredFile{{Path: "index.html", Version: "v2", SHA256: "aa"}}}

	if err := e.do(t, pod, plan.Apply, revision); err == nil {
		t.Fatal("no error")
	}
	if len(w.log) > 0 {
		t.Errorf("the agent was told all the same: %s", w.log)
	}
	pods := []kube.Pod{pod, testPod("web-1")}
	e.overlay(pods, e.jobs.underway(), "r3")
	if !strings.Contains(pods[0].SidecarError, "no answer from the sidecar") || pods[1].SidecarError != "" {
		t.Errorf("errors %q and %q", pods[0].SidecarError, pods[1].SidecarError)
	}
	if e.do(t, pod, plan.Apply, v2) != nil {
		t.Error("another revision is held back by the failure")
	}
}

func TestChangedPodIsNoFailure(t *testing.T) {
	e := testExecutor(&written{fail: kube.ErrChanged})
	if err := e.do(t, testPod("game-0"), plan.Apply, v2); err != nil {
		t.Errorf("got %v; the change brings the next pass by itself", err)
	}
	refused := errors.New("403")
	e = testExecutor(&written{fail: refused})
	if err := e.do(t, testPod("game-0"), plan.Apply, v2); !errors.Is(err, refused) {
		t.Errorf("got %v, want it to be remembered", err)
	}
}

func TestPodUnderWayIsShownAsTold(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	pod := testPod("web-0")
	pod.Sidecar = answering(t, func(http.ResponseWriter, *http.Request) { close(entered); <-leave })
	e := testExecutor(&written{})
	revision := plan.Revision{ID: "r3", Files: []api.DesiredFile{{Path: "index.html", Version: "v2", SHA256: "aa"}}}
	e.execute(context.Background(), "web", []kube.Pod{pod}, []plan.Action{{Kind: plan.Apply, UID: pod.UID, Revision: revision}})
	<-entered

	pods := []kube.Pod{pod}
	e.overlay(pods, e.jobs.underway(), "r3")
	if pods[0].Desired.Revision != "r3" {
		t.Errorf("shown as %+v: a second pod could start beyond maxConcurrent", pods[0].Desired)
	}
	close(leave)
	e.jobs.wait()
	pods = []kube.Pod{pod}
	e.overlay(pods, e.jobs.underway(), "r3")
	if pods[0].Desired.Revision != "" {
		t.Error("still shown as told after the job has ended")
	}
}

func TestNewerWishEndsAnOlderOne(t *testing.T) {
	entered := make(chan struct{}, 2)
	pod := testPod("web-0")
	pod.Sidecar = answering(t, func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		if r.PostFormValue("version") == "v2" {
			<-r.Context().Done() // hangs
		}
	})
	w := &written{}
	e := testExecutor(w)
	again := make(chan struct{}, 1)
	e.jobs.ended = func() { again <- struct{}{} }
	start := func(version string) {
		revision := plan.Revision{ID: version, Files: []api.DesiredFile{{Path: "index.html", Version: version, SHA256: "aa"}}}
		e.execute(context.Background(), "web", []kube.Pod{pod}, []plan.Action{{Kind: plan.Apply, UID: pod.UID, Revision: revision}})
	}
	start("v2")
	<-entered
	start("v3")
	select {
	case <-again: // the hanging call was given up; the next pass asks again
	case <-time.After(5 * time.Second):
		t.Fatal("the hanging call is still waited for")
	}
	start("v3")
	e.jobs.wait()
	w.has(t, "web-0@ prepare removed")
	if err := e.jobs.failed(pod.UID, "apply v2"); err != nil {
		t.Errorf("being overtaken counts as a failure: %v", err)
	}
}
