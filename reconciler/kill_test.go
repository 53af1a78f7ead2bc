package reconciler

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
)

var kills = flag.Int("kills", 12, "how often the reconciler is killed around its commits")

// killed is a reconciler in a process of its own.
type killed struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	once sync.Once
	over chan struct{}
}

func start(t *testing.T, repo *gittest.Repo, cluster string) *killed {
	t.Helper()
	k := &killed{cmd: exec.Command(os.Args[0], "-test.run=^TestKilledAroundCommits$", "-test.v"), over: make(chan struct{})}
	k.cmd.Env = append(os.Environ(), distantRepo+"="+repo.URL, distantCluster+"="+cluster)
	k.cmd.Stdout, k.cmd.Stderr = &k.log, &k.log
	if _, err := k.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.kill)
	return k
}

// kill ends it at once, and returns when it is no more.
func (k *killed) kill() {
	k.once.Do(func() {
		_ = k.cmd.Process.Kill() // SIGKILL: nothing is flushed
		_ = k.cmd.Wait()
		close(k.over)
	})
	<-k.over
}

// moments at which a reconciler is killed: as its push has come to the server, which
// may have it all the same or not; as Git has it, before the answer; and while Git is
// at it. What is none of these is at any time after its start.
var moments = map[string]func(k *killed, git http.Handler, w http.ResponseWriter, r *http.Request) bool{
	"push lost": func(k *killed, _ http.Handler, _ http.ResponseWriter, _ *http.Request) bool {
		k.kill()
		return true
	},
	"push comes late": func(k *killed, _ http.Handler, _ http.ResponseWriter, _ *http.Request) bool {
		k.kill()
		return false
	},
	"answer lost": func(k *killed, git http.Handler, _ http.ResponseWriter, r *http.Request) bool {
		git.ServeHTTP(httptest.NewRecorder(), r)
		k.kill()
		return true
	},
	"during the push": func(k *killed, _ http.Handler, _ http.ResponseWriter, _ *http.Request) bool {
		time.AfterFunc(rand.N(40*time.Millisecond), k.kill)
		return false
	},
	"any time": nil,
}

// await kills it at that moment of one of its next pushes, or where there is nothing
// to push; it tells which.
func (k *killed) await(repo *gittest.Repo, moment string) (struck bool) {
	pushes := rand.N(2)
	var mu sync.Mutex
	if strike := moments[moment]; strike != nil {
		repo.Break(gittest.Push, func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if pushes--; pushes != -1 {
				return false
			}
			struck = true
			return strike(k, repo.Backend(), w, r)
		})
		defer repo.Break(gittest.Push, nil)
		time.AfterFunc(1200*time.Millisecond, k.kill)
	} else {
		time.AfterFunc(rand.N(500*time.Millisecond), k.kill)
	}
	<-k.over
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

// A reconciler that is killed around its commits, again and again, leaves a record
// that equals what happened, with nothing in it twice and nothing of others lost.
func TestKilledAroundCommits(t *testing.T) {
	if os.Getenv(distantRepo) != "" {
		liveUntilKilled(t)
	}
	repo := gittest.NewRepo(t)
	repo.Git("-C", repo.Bare, "config", "core.logAllRefUpdates", "always")
	cluster := &outliving{obedient: newObedient(4), ever: map[string]map[string]bool{}}
	url := cluster.serve(t)
	other, err := gitsource.NewWriter(gitsource.WriterOptions{Options: gitsource.Options{URL: "file://" + repo.Bare, Branch: "hotpatch-status"},
		Author: gitsource.Person{Name: "West", Email: "hotpatch@west"}})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"any time", "push lost", "push comes late", "answer lost", "during the push"}
	n, struck := 0, 0
	var last *killed
	t.Cleanup(func() {
		if t.Failed() && last != nil {
			t.Log(last.log.String())
		}
	})
	for kill := range *kills {
		last = start(t, repo, url)
		if kill%4 != 3 { // those find what others left
			n++
			repo.Commit(release(n), fmt.Sprint("release ", n))
		}
		theirs := make(chan error, 1)
		go func() {
			_, err := other.Commit(t.Context(), gitsource.Change{Files: map[string][]byte{fmt.Sprintf("clusters/west/%d", kill): []byte("theirs")}, Subject: fmt.Sprint("west ", kill)})
			theirs <- err
		}()
		if last.await(repo, names[kill%len(names)]) {
			struck++
		}
		if err := <-theirs; err != nil {
			t.Fatal(err)
		}
		if s := recorded(t, repo); s.Counts.Updated > cluster.reached(s.Revision) {
			t.Fatalf("after kill %d (%s) the record has %d pods on %s, and %d were told", kill, names[kill%len(names)], s.Counts.Updated, s.Revision, cluster.reached(s.Revision))
		}
	}

	last = start(t, repo, url)
	image := fmt.Sprintf("%064d", n)
	eventually(t, "the record of the last release", func() bool {
		s := recorded(t, repo)
		return s.Phase == api.PhaseComplete && s.Counts.Updated == 4 && strings.HasSuffix(s.Containers[0].Image, image)
	})
	last.kill()
	tip := repo.Git("-C", repo.Bare, "rev-parse", "hotpatch-status")
	last = start(t, repo, url)
	polls := repo.Seen(gittest.ListForFetch)
	eventually(t, "some polls", func() bool { return repo.Seen(gittest.ListForFetch) > polls+10 })
	last.kill()
	if now := repo.Git("-C", repo.Bare, "rev-parse", "hotpatch-status"); now != tip {
		t.Errorf("one that is started where all is done commits %q", repo.Log("hotpatch-status")[0])
	}
	for _, pod := range cluster.pods {
		if !strings.HasSuffix(pod.Desired.Containers[0].Image, image) {
			t.Errorf("%s should run %s", pod.Name, pod.Desired.Containers[0].Image)
		}
	}
	if len(cluster.repeated) > 0 {
		t.Errorf("pods were told again what they had been told: %q", cluster.repeated)
	}
	for kill := range *kills {
		if repo.Show("hotpatch-status", fmt.Sprintf("clusters/west/%d", kill)) != "theirs" {
			t.Errorf("file %d of the other cluster is lost", kill)
		}
	}
	if struck < *kills/4 {
		t.Errorf("only %d of %d were killed at a push", struck, *kills)
	}
	checkLine(t, repo)
	t.Logf("%d kills, %d of them at a push; %d commits of results", *kills, struck, checkCourse(t, repo))
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
	var told []api.HotPatchStatus
	for _, commit := range hashes {
		now, err := api.DecodeStatus(record, []byte(repo.Show(commit, record)))
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(told, func(was api.HotPatchStatus) bool { return sameMeaning(was, now) }) {
			t.Errorf("commit %s tells again: %s, %s, %d updated", commit, now.Revision, now.Phase, now.Counts.Updated)
		}
		if len(told) > 0 {
			was := told[len(told)-1]
			if now.Containers[0].Image < was.Containers[0].Image {
				t.Errorf("commit %s goes back from %s to %s", commit, was.Containers[0].Image, now.Containers[0].Image)
			}
			if now.Revision == was.Revision && now.Counts.Updated < was.Counts.Updated {
				t.Errorf("commit %s goes back from %d pods to %d", commit, was.Counts.Updated, now.Counts.Updated)
			}
		}
		told = append(told, now)
	}
	return len(hashes)
}
