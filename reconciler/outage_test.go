package reconciler

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// says is a server that answers everything in the same words.
func says(code int, kind, words string) gittest.Fault {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(code)
		fmt.Fprint(w, words)
		return true
	}
}

func hangs(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
	return true
}

// diesMidway sends half a pack.
func diesMidway(repo *gittest.Repo) gittest.Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		whole := httptest.NewRecorder()
		repo.Backend().ServeHTTP(whole, r)
		w.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
		w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()))
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		panic(http.ErrAbortHandler)
	}
}

// Whatever the Git server does, what is in force stays so, people are told why in
// words, and when it is well again the reconciler goes on by itself.
func TestGoodStateStaysThroughOutages(t *testing.T) {
	for name, c := range map[string]struct {
		at    gittest.Site
		fault func(*gittest.Repo) gittest.Fault
		words string
	}{
		"401":          {gittest.ListForFetch, always(says(401, "text/plain", "who are you?")), "check the credential files"},
		"403":          {gittest.ListForFetch, always(says(403, "text/plain", "no")), "check the credential files"},
		"429":          {gittest.ListForFetch, always(says(429, "text/plain", "slowly")), "asked again after"},
		"500":          {gittest.Fetch, always(says(500, "text/plain", "oops")), "500 Internal Server Error"},
		"a login page": {gittest.ListForFetch, always(says(200, "text/html", "<html>please log in")), "not a Git server"},
		"hangs":        {gittest.Fetch, always(hangs), "did not answer within"},
		"dies midway":  {gittest.Fetch, diesMidway, "ended the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo, cluster := gittest.NewRepo(t), newObedient(2)
			repo.Commit(manifest("a"), "release v1")
			r, _ := lead(t, repo, "hotpatch-status", cluster, func(r *Reconciler) {
				r.follower.source.(*gitsource.Source).Timeout = 2 * time.Second
			})
			complete := func(image string) func() bool {
				return func() bool {
					s := recorded(t, repo)
					return s.Phase == api.PhaseComplete && strings.Contains(s.Containers[0].Image, strings.Repeat(image, 64)) && cluster.told(image) == 2
				}
			}
			eventually(t, "v1", complete("a"))
			server := httptest.NewServer(r.endpoints())
			defer server.Close()

			repo.Break(c.at, c.fault(repo))
			repo.Commit(manifest("b"), "release v2")
			r.pollNow()
			eventually(t, "the words "+c.words, func() bool {
				code, body := call(t, "GET", server.URL+"/readyz", nil)
				return code == 200 && strings.HasPrefix(body, "ok\nGit cannot be read, and what was read before stays in force: ") && strings.Contains(body, c.words)
			})
			r.trigger.fire(resync)
			time.Sleep(50 * time.Millisecond)
			if lines := r.shown(t, `hotpatch_git_polls_total{result="failed"}`); len(lines) != 1 || !complete("a")() || cluster.told("b") != 0 {
				t.Errorf("%q; %+v", lines, recorded(t, repo))
			}

			repo.Break(c.at, nil)
			eventually(t, "v2, by itself", complete("b"))
			eventually(t, "silence", func() bool {
				_, body := call(t, "GET", server.URL+"/readyz", nil)
				return body == "ok\n"
			})
		})
	}
}

func always(f gittest.Fault) func(*gittest.Repo) gittest.Fault {
	return func(*gittest.Repo) gittest.Fault { return f }
}

// The branch is put elsewhere between the listing and the fetch; and commits come
// from machines whose clocks are wrong. What the branch is at counts, and nothing else.
func TestTipCountsWhateverItsPastAndItsDate(t *testing.T) {
	repo, cluster := gittest.NewRepo(t), newObedient(2)
	first := repo.Commit(manifest("a"), "release v1")
	r, _ := lead(t, repo, "hotpatch-status", cluster)
	on := func(image, commit string) func() bool {
		return func() bool {
			s := recorded(t, repo)
			return s.Phase == api.PhaseComplete && s.Source.Commit == commit && cluster.told(image) == 2
		}
	}
	eventually(t, "v1", on("a", first))

	repo.Git("commit", "-q", "--amend", "--allow-empty", "--date", "2001-01-01T00:00:00Z", "-m", "another past")
	repo.Commit(manifest("c"), "release v3")
	v3 := repo.Git("rev-parse", "HEAD")
	repo.Git("push", "-q", "-f", "origin", first+":main")
	late := repo.Commit(manifest("b"), "release v2")
	repo.Break(gittest.Fetch, func(http.ResponseWriter, *http.Request) bool {
		repo.Git("-C", repo.Bare, "update-ref", "refs/heads/main", v3)
		return false
	})
	r.pollNow()
	eventually(t, "a fetch", func() bool { return repo.Git("-C", repo.Bare, "rev-parse", "main") == v3 })
	r.pollNow() // some servers hand out v2 all the same
	eventually(t, "the tip that it was put to, not "+late, on("c", v3))
	repo.Break(gittest.Fetch, nil)

	for image, date := range map[string]string{"d": "2001-01-01T00:00:00Z", "e": "2090-01-01T00:00:00Z"} {
		t.Setenv("GIT_COMMITTER_DATE", date)
		commit := repo.Commit(manifest(image), "release at "+date)
		r.pollNow()
		eventually(t, "the release of "+date, on(image, commit))
	}
}
