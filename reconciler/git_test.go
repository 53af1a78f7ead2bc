package reconciler

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/kube"
)

// lead runs a leader that follows main of a real Git server, and commits its
// results to a branch there, until the test ends or stop is called.
func lead(t *testing.T, repo *gittest.Repo, statusBranch string, cluster observer, before ...func(*Reconciler)) (r *Reconciler, stop func()) {
	t.Helper()
	git := gitsource.Options{URL: repo.URL, Branch: "main"}
	source, err := gitsource.NewSource(git)
	if err != nil {
		t.Fatal(err)
	}
	git.Branch = statusBranch
	writer, err := gitsource.NewWriter(gitsource.WriterOptions{Options: git, Author: gitsource.Person{Name: "Hotpatch", Email: "hotpatch@box"}})
	if err != nil {
		t.Fatal(err)
	}
	hourly, err := gitsource.ParseSchedule(time.Hour, "")
	if err != nil {
		t.Fatal(err)
	}
	r = newProcess(cluster)
	r.jobs.ended = func() { r.trigger.fire(workEnded) }
	r.follower = &follower{source: source, schedule: hourly, path: ".", metrics: r.metrics, poll: newTrigger(),
		found: func() { r.trigger.fire(newCommit) }, polled: func() { r.recorder.sourcePolled() }}
	r.recorder = &recorder{branch: writer, cluster: "box", metrics: r.metrics, wake: newTrigger(), stepped: func() { r.trigger.fire(workEnded) }}
	if pods, ok := cluster.(annotator); ok {
		r.executor.pods = pods
	}
	for _, change := range before {
		change(r)
	}
	log, err := logging.New(t.Output(), "text", "debug")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(logging.Into(context.Background(), log))
	ended := make(chan error, 1)
	go func() { ended <- r.work(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return r, stop
}

func manifest(image string) map[string]string {
	return map[string]string{"games/game.yaml": `apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata: {name: game, namespace: default}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: game}
  containers:
  - {name: main, image: "registry.example/game@sha256:` + strings.Repeat(image, 64) + `"}
`}
}

const record = "clusters/box/default/game.yaml"

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("not within 10 s: %s", what)
}

func gamePod() kube.Pod {
	pod := testPod("game-0")
	pod.Containers, pod.Ready = []string{"main"}, true
	return pod
}

func (r *Reconciler) pollNow() { r.follower.poll.fire(newCommit) }

func TestPushIsRecordedAndReadBackByTheNext(t *testing.T) {
	repo := gittest.NewRepo(t)
	commit := repo.Commit(manifest("a"), "release v1")
	_, stop := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "a record", func() bool { return strings.Contains(repo.Show("hotpatch-status", record), commit) })
	stop()
	if by := recorded(t, repo).Source.Author; by != "Ann" {
		t.Errorf("released by %q", by)
	}
	before, err := api.DecodeStatus(record, []byte(repo.Show("hotpatch-status", record)))
	if err != nil {
		t.Fatal(err)
	}
	commits := len(repo.Log("hotpatch-status"))

	next, stop := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "a pass", func() bool { return *next.state.Load() == nil })
	stop()
	after, err := api.DecodeStatus(record, []byte(repo.Show("hotpatch-status", record)))
	if err != nil || !sameMeaning(before, after) || !before.Since.Equal(after.Since) {
		t.Errorf("before %+v\nafter  %+v, %v", before, after, err)
	}
	if n := len(repo.Log("hotpatch-status")); n != commits {
		t.Errorf("the next one made %d commits though nothing was new", n-commits)
	}
}

func TestUnchangedTipsAreNotFetched(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	r, _ := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "a record", func() bool { return repo.Show("hotpatch-status", record) != "" })
	lists, fetches := repo.Server.Seen(gittest.ListForFetch), repo.Server.Seen(gittest.Fetch)

	r.pollNow()
	eventually(t, "a poll", func() bool { return repo.Server.Seen(gittest.ListForFetch) > lists })
	time.Sleep(50 * time.Millisecond)
	if n := repo.Server.Seen(gittest.Fetch) - fetches; n != 0 {
		t.Errorf("%d fetches for a tip that is known", n)
	}
}

// Though nothing else is new, the next poll finds that the branch is gone.
func TestALostRecordIsWrittenAnew(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	r, _ := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "a record", func() bool { return repo.Show("hotpatch-status", record) != "" })
	time.Sleep(50 * time.Millisecond)
	r.recorder.mu.Lock()
	r.recorder.last = time.Time{}
	r.recorder.mu.Unlock()
	before := repo.Show("hotpatch-status", record)
	repo.Git("push", "-q", "origin", ":hotpatch-status")
	r.pollNow()
	eventually(t, "the record again", func() bool { return repo.Show("hotpatch-status", record) == before })
}

func TestOneBranchForBothIsNoLoop(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	r, _ := lead(t, repo, "main", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "a record", func() bool { return repo.Show("main", record) != "" })
	time.Sleep(200 * time.Millisecond)
	commits := len(repo.Log("main"))
	for range 5 {
		polls := repo.Server.Seen(gittest.ListForFetch)
		r.pollNow()
		eventually(t, "a poll", func() bool { return repo.Server.Seen(gittest.ListForFetch) > polls })
		time.Sleep(50 * time.Millisecond)
	}
	if log := repo.Log("main"); len(log) != commits {
		t.Errorf("our own commits bring more of them: %q", log)
	}
}

func TestResultsOutliveTheGitServer(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	down := func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	}
	repo.Server.Break(gittest.ListForPush, down)
	r, _ := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "an attempt", func() bool { return repo.Server.Seen(gittest.ListForPush) > 0 })
	repo.Commit(manifest("b"), "release v2")
	r.pollNow()
	eventually(t, "v2 to be in force", func() bool {
		r.recorder.mu.Lock()
		defer r.recorder.mu.Unlock()
		c := r.recorder.latest["default/game"].status.Containers
		return len(c) > 0 && strings.Contains(c[0].Image, "bbbb")
	})
	repo.Server.Break(gittest.ListForPush, nil)
	eventually(t, "the record", func() bool { return strings.Contains(repo.Show("hotpatch-status", record), "bbbb") })
	if log := repo.Log("hotpatch-status"); len(log) != 1 {
		t.Errorf("what could not be pushed landed as %d commits: %q", len(log), log)
	}
}

// The server's words are where people look, this process stays ready, and what was
// refused lands when it is let in.
func TestARefusedResultIsToldAndKept(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	repo.Hook("pre-receive", "echo 'status commits are frozen until Monday'\nexit 1\n")
	r, _ := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	server := httptest.NewServer(r.endpoints())
	defer server.Close()
	readyz := func() string {
		code, body := call(t, "GET", server.URL+"/readyz", nil)
		return fmt.Sprint(code, " ", body)
	}
	eventually(t, "the server's words", func() bool {
		said := readyz()
		return strings.HasPrefix(said, "200 ok") && strings.Contains(said, "refuses commits to hotpatch-status") && strings.Contains(said, "frozen until Monday")
	})
	if lines := r.shown(t, `hotpatch_status_commits_total{result="refused"}`); len(lines) != 1 {
		t.Errorf("refusals are not counted: %q", lines)
	}
	repo.Hook("pre-receive", "")
	eventually(t, "the record", func() bool { return repo.Show("hotpatch-status", record) != "" && readyz() == "200 ok\n" })
	if log := repo.Log("hotpatch-status"); len(log) != 1 {
		t.Errorf("what was refused landed as %d commits: %q", len(log), log)
	}
}

// A reconciler that ends while nothing can be pushed leaves nothing behind but what
// can be observed again: the next one does.
func TestResultsOutliveAReconcilerToo(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	repo.Server.Break(gittest.ListForPush, func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})
	_, stop := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "an attempt", func() bool { return repo.Server.Seen(gittest.ListForPush) > 0 })
	stop()
	release := repo.Commit(manifest("b"), "release v2")
	attempts := repo.Server.Seen(gittest.ListForPush)
	lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "an attempt of the next", func() bool { return repo.Server.Seen(gittest.ListForPush) > attempts })
	repo.Server.Break(gittest.ListForPush, nil)
	eventually(t, "the record", func() bool { return strings.Contains(repo.Show("hotpatch-status", record), release) })
	if log := repo.Log("hotpatch-status"); len(log) != 1 {
		t.Errorf("it landed as %d commits: %q", len(log), log)
	}
}

func TestRemovalFromGitIsSaidOnce(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Commit(manifest("a"), "release v1")
	r, _ := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}})
	eventually(t, "a record", func() bool { return repo.Show("hotpatch-status", record) != "" })
	repo.Git("rm", "-q", "games/game.yaml")
	repo.Commit(map[string]string{"games/other.yaml": strings.ReplaceAll(manifest("a")["games/game.yaml"], "game", "other")}, "another game")
	r.pollNow()
	eventually(t, "the removal", func() bool { return repo.Show("hotpatch-status", record) == "" })
	if log := strings.Join(repo.Log("hotpatch-status"), "\n"); strings.Count(log, "removed from Git")+strings.Count(log, "2 HotPatches changed") != 1 {
		t.Errorf("log:\n%s", log)
	}
}
