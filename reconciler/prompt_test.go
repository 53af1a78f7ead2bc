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
	"hotpatch.dev/hotpatch/reconciler/kube"
)

// prompt is how soon a pass begins after what brings it, and a poll.
const prompt = 50 * time.Millisecond

// sighted tells when a pass first looks for each target.
type sighted struct {
	*scripted
	first chan time.Time
	seen  map[string]bool
}

func (s *sighted) Scope(ctx context.Context, namespace string, target api.Target) (kube.Scope, error) {
	if !s.seen[target.Name] { // only passes ask, one at a time
		s.seen[target.Name] = true
		s.first <- time.Now()
	}
	return s.scripted.Scope(ctx, namespace, target)
}

// releaseTimes are those of one release, as the Git server and the cluster see them.
type releaseTimes struct{ listed, fetched, began chan time.Time }

// watched follows a repository, with results elsewhere, so that only polls are seen.
func watched(t *testing.T) (*gittest.Repo, *httptest.Server, releaseTimes) {
	t.Helper()
	repo, results := gittest.NewRepo(t), gittest.NewRepo(t)
	m := releaseTimes{make(chan time.Time, 100), make(chan time.Time, 100), make(chan time.Time, 100)}
	writer, err := gitsource.NewWriter(gitsource.WriterOptions{Options: gitsource.Options{URL: results.URL, Branch: "hotpatch-status"}, Author: gitsource.Person{Name: "Hotpatch", Email: "hotpatch@box"}})
	if err != nil {
		t.Fatal(err)
	}
	repo.Commit(released(0), "release 0")
	repo.Break(gittest.ListForFetch, func(http.ResponseWriter, *http.Request) bool {
		m.listed <- time.Now()
		return false
	})
	repo.Break(gittest.Fetch, func(w http.ResponseWriter, r *http.Request) bool {
		repo.Backend().ServeHTTP(w, r)
		m.fetched <- time.Now()
		return true
	})
	r, _ := lead(t, repo, "hotpatch-status", &sighted{&scripted{}, m.began, map[string]bool{}}, func(r *Reconciler) {
		r.recorder.branch = writer
		r.options.Branch = "main"
		r.options.WebhookSecretFile, r.options.TriggerTokenFile = secretFile(t, hookSecret), secretFile(t, "t0ken")
	})
	server := httptest.NewServer(r.endpoints())
	t.Cleanup(server.Close)
	return repo, server, m
}

// released has a HotPatch of its own for each release.
func released(n int) map[string]string {
	return map[string]string{fmt.Sprintf("games/game-%d.yaml", n): strings.ReplaceAll(manifest("a")["games/game.yaml"], "name: game", fmt.Sprint("name: game-", n))}
}

// next is the next of these times.
func next(t *testing.T, all chan time.Time, what string) time.Time {
	t.Helper()
	select {
	case at := <-all:
		return at
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 s: %s", what)
		return time.Time{}
	}
}

// From a webhook, and from a trigger, to the question that the Git server sees; and from
// the end of its answer, through reading and rendering, to the pass. A machine that is
// busy with other things may be late, but not each time.
func TestPollAndPassBeginWithin50ms(t *testing.T) {
	repo, server, m := watched(t)
	release := func(ask func() int) (polled, passed time.Duration) {
		start := time.Now()
		if code := ask(); code != http.StatusAccepted {
			t.Fatalf("answered %d", code)
		}
		listed := next(t, m.listed, "a poll")
		fetched := next(t, m.fetched, "a fetch")
		return listed.Sub(start), next(t, m.began, "a pass").Sub(fetched)
	}
	release(func() int { return http.StatusAccepted }) // the first poll asks for itself
	n := 0
	for _, by := range []string{"webhook", "trigger"} {
		var late []string
		for range 20 {
			n++
			repo.Commit(released(n), fmt.Sprint("release ", n))
			request := asks(t, server)[by]
			request.Header.Set("X-Gitlab-Event-UUID", fmt.Sprint(n))
			polled, passed := release(func() int { return ask(t, request).StatusCode })
			if polled <= prompt && passed <= prompt {
				t.Logf("%s: polled after %s, a pass %s after the fetch", by, polled, passed)
				late = nil
				break
			}
			late = append(late, fmt.Sprintf("%s, %s", polled, passed))
		}
		if late != nil {
			t.Errorf("%s: of 20 not one was polled within %s, and passed as soon after the fetch: %q", by, prompt, late)
		}
	}
}
