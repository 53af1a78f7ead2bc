package reconciler

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube/kubetest"
)

var kills = flag.Int("kills", 12, "how often the reconciler is killed around its commits")

// strikes are ways to be killed at a request: as it has come to the server, which may
// do it all the same or not; as that is done, before the answer; and while it is done.
var strikes = map[string]func(p *process, server http.Handler, r *http.Request) (done bool){
	"lost": func(p *process, _ http.Handler, _ *http.Request) bool {
		p.kill()
		return true
	},
	"late": func(p *process, _ http.Handler, _ *http.Request) bool {
		p.kill()
		return false
	},
	"unanswered": func(p *process, server http.Handler, r *http.Request) bool {
		server.ServeHTTP(httptest.NewRecorder(), r)
		p.kill()
		return true
	},
	"under way": func(p *process, _ http.Handler, _ *http.Request) bool {
		time.AfterFunc(rand.N(40*time.Millisecond), p.kill)
		return false
	},
}

// moments at which a reconciler is killed: by its pushes, by its patches of pods, or
// at any time after its start.
var moments = []string{"any time", "push lost", "push late", "push unanswered", "push under way", "patch lost", "patch late", "patch unanswered", "patch under way"}

// await kills it at that moment of one of its next requests, or where there are none;
// it tells which.
func (p *process) await(repo *gittest.Repo, cluster *agents, moment string) (struck bool) {
	at, how, _ := strings.Cut(moment, " ")
	strike, server, requests := strikes[how], repo.Backend(), rand.N(2)
	if at == "patch" {
		server, requests = cluster.Backend(), rand.N(4)
	}
	var mu sync.Mutex
	fault := func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if requests--; requests != -1 {
			return false
		}
		struck = true
		return strike(p, server, r)
	}
	longest := 1500 * time.Millisecond
	switch at {
	case "push":
		repo.Break(gittest.Push, fault)
		defer repo.Break(gittest.Push, nil)
	case "patch":
		cluster.Break(fault)
		defer cluster.Break(nil)
	default:
		longest = rand.N(time.Second)
	}
	time.AfterFunc(longest, p.kill)
	<-p.over
	mu.Lock()
	defer mu.Unlock()
	return struck
}

// release asks for an image that no release asked for before.
func release(n int) map[string]string {
	all := staged("a", "", "{partition: 3}, {partition: 1}, {partition: 0}")
	for name, text := range all {
		all[name] = strings.Replace(text, strings.Repeat("a", 64), fmt.Sprintf("%064d", n), 1)
	}
	return all
}

// The real program, killed around its commits again and again, leaves a record that
// equals what happened, with nothing in it twice and nothing of others lost.
func TestKilledAroundCommits(t *testing.T) {
	t.Parallel()
	program, repo := built(t), gittest.NewRepo(t)
	repo.Git("-C", repo.Bare, "config", "core.logAllRefUpdates", "always")
	var pods []*corev1.Pod
	for i := range 4 {
		pods = append(pods, kubetest.Running(fmt.Sprint("game-", i), "game"))
	}
	cluster := obedientAgents(t, pods...)
	honest := func(when string) {
		if s := recorded(t, repo); s.Counts.Updated > cluster.reached(s.Revision) {
			t.Errorf("%s the record has %d pods on %s, and %d came to it", when, s.Counts.Updated, s.Revision, cluster.reached(s.Revision))
		}
	}
	repo.Pushed = func(string) { honest("after a push") }
	other := westWriter(t, repo)
	n, struck := 0, map[string]int{}
	for kill := range *kills {
		p := run(t, program, "box", repo, cluster.Server)
		if kill%4 != 3 { // those find what others left
			n++
			repo.Commit(release(n), fmt.Sprint("release ", n))
		}
		theirs := make(chan error, 1)
		go func() {
			_, err := other.Commit(t.Context(), gitsource.Change{Files: map[string][]byte{fmt.Sprintf("clusters/west/%d", kill): []byte("theirs")}, Subject: fmt.Sprint("west ", kill)})
			theirs <- err
		}()
		moment := moments[kill%len(moments)]
		if p.await(repo, cluster, moment) {
			at, _, _ := strings.Cut(moment, " ")
			struck[at]++
		}
		if err := <-theirs; err != nil {
			t.Fatal(err)
		}
		honest(fmt.Sprintf("after kill %d, %s,", kill, moment))
	}

	p := run(t, program, "box", repo, cluster.Server)
	image := fmt.Sprintf("%064d", n)
	eventually(t, "the record of the last release", func() bool {
		s := recorded(t, repo)
		return s.Phase == api.PhaseComplete && s.Counts.Updated == 4 && strings.HasSuffix(s.Containers[0].Image, image)
	})
	p.kill()
	tip := repo.Git("-C", repo.Bare, "rev-parse", "hotpatch-status")
	p = run(t, program, "box", repo, cluster.Server)
	polls := repo.Seen(gittest.ListForFetch)
	eventually(t, "some polls", func() bool { return repo.Seen(gittest.ListForFetch) > polls+10 })
	p.kill()
	if now := repo.Git("-C", repo.Bare, "rev-parse", "hotpatch-status"); now != tip {
		t.Errorf("one that is started where all is done commits %q", repo.Log("hotpatch-status")[0])
	}
	for _, pod := range cluster.Pods() {
		if is := annotated[api.Observed](pod, api.ObservedAnnotation); !strings.HasSuffix(is.Containers[0].Image, image) {
			t.Errorf("%s runs %s", pod.Name, is.Containers[0].Image)
		}
	}
	if twice := cluster.twice(); len(twice) > 0 {
		t.Errorf("pods were told again what they had been told: %q", twice)
	}
	if theirs := strings.Fields(repo.Git("-C", repo.Bare, "ls-tree", "--name-only", "hotpatch-status:clusters/west")); len(theirs) != *kills {
		t.Errorf("of %d files of the other cluster there are %d", *kills, len(theirs))
	}
	if struck["push"] < *kills/6 || struck["patch"] < *kills/6 {
		t.Errorf("of %d kills %v were as they should", *kills, struck)
	}
	checkLine(t, repo)
	t.Logf("%d kills, %d at a push and %d at a patch; %d commits of results", *kills, struck["push"], struck["patch"], checkCourse(t, repo))
}

func westWriter(t *testing.T, repo *gittest.Repo) *gitsource.Writer {
	w, err := gitsource.NewWriter(gitsource.WriterOptions{Options: gitsource.Options{URL: "file://" + repo.Bare, Branch: "hotpatch-status"},
		Author: gitsource.Person{Name: "West", Email: "hotpatch@west"}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// checkLine holds that the branch only ever grew, by one commit at a time.
func checkLine(t *testing.T, repo *gittest.Repo) {
	line := repo.Git("-C", repo.Bare, "log", "--format=%H", "hotpatch-status")
	if moves := repo.Git("-C", repo.Bare, "log", "-g", "--format=%H", "hotpatch-status"); moves != line {
		t.Errorf("the branch was moved as\n%s\nand is\n%s", moves, line)
	}
	if merges := repo.Git("-C", repo.Bare, "log", "--merges", "--format=%H", "hotpatch-status"); merges != "" {
		t.Errorf("merges: %s", merges)
	}
}

// checkCourse holds that the record tells each state once, and goes only forth.
func checkCourse(t *testing.T, repo *gittest.Repo) (commits int) {
	hashes := strings.Fields(repo.Git("-C", repo.Bare, "log", "--reverse", "--author=hotpatch@box", "--format=%H", "hotpatch-status"))
	var was api.HotPatchStatus
	told := map[string]bool{}
	for i, commit := range hashes {
		now, err := api.DecodeStatus(record, []byte(repo.Show(commit, record)))
		if err != nil {
			t.Fatal(err)
		}
		meaning := now // as of sameMeaning
		meaning.Source.Commit, meaning.Source.Author, meaning.Since = "", "", time.Time{}
		text, err := api.EncodeStatus(meaning)
		if err != nil {
			t.Fatal(err)
		}
		if told[string(text)] {
			t.Errorf("commit %s tells again: %s, %s, %d updated", commit, now.Revision, now.Phase, now.Counts.Updated)
		}
		if i > 0 && now.Containers[0].Image < was.Containers[0].Image {
			t.Errorf("commit %s goes back from %s to %s", commit, was.Containers[0].Image, now.Containers[0].Image)
		}
		if now.Revision == was.Revision && now.Counts.Updated < was.Counts.Updated {
			t.Errorf("commit %s goes back from %d pods to %d", commit, was.Counts.Updated, now.Counts.Updated)
		}
		was, told[string(text)] = now, true
	}
	return len(hashes)
}
