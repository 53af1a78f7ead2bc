package forge

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
)

const commit = "1a410efbd13591db07496601ebc7a059dd55cfe9"

// documented is how a forge's manual says that statuses are shown and asked for.
type documented struct {
	kind, post, get   string // paths
	header, scheme    string // that the token stands in
	name, words       string // fields of a status
	posted, was       string // field of the state, in requests and in answers
	pending, replaced string
}

var manuals = []documented{
	{kind: "github", post: "/repos/studio/games/statuses/" + commit, get: "/repos/studio/games/commits/" + commit + "/statuses",
		header: "Authorization", scheme: "Bearer ", name: "context", words: "description", posted: "state", was: "state", pending: "pending", replaced: "error"},
	{kind: "gitlab", post: "/api/v4/projects/studio%2Fgames/statuses/" + commit, get: "/api/v4/projects/studio%2Fgames/repository/commits/" + commit + "/statuses",
		header: "PRIVATE-TOKEN", name: "name", words: "description", posted: "state", was: "status", pending: "running", replaced: "canceled"},
	{kind: "gitea", post: "/api/v1/repos/studio/games/statuses/" + commit, get: "/api/v1/repos/studio/games/commits/" + commit + "/statuses",
		header: "Authorization", scheme: "token ", name: "context", words: "description", posted: "state", was: "status", pending: "pending", replaced: "error"},
}

// server is a forge by its manual, with one repository. It keeps what was posted,
// the newest first.
type server struct {
	documented
	token string
	shown []map[string]any
	asked int
	fails http.HandlerFunc
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked++
	switch path := r.URL.EscapedPath(); {
	case s.fails != nil:
		s.fails(w, r)
	case r.Header.Get(s.header) != s.scheme+s.token:
		http.Error(w, `{"message": "Bad credentials"}`, http.StatusUnauthorized)
	case r.Method == http.MethodPost && path == s.post:
		s.take(w, r)
	case r.Method == http.MethodGet && path == s.get:
		json.NewEncoder(w).Encode(s.shown)
	default:
		http.Error(w, `{"message": "there is no `+r.Method+" "+path+`"}`, http.StatusNotFound)
	}
}

func (s *server) take(w http.ResponseWriter, r *http.Request) {
	var posted map[string]any
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &posted); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	status := map[string]any{"id": len(s.shown) + 1, s.was: posted[s.posted], s.name: posted[s.name], s.words: posted[s.words]}
	if s.kind == "gitlab" && len(s.shown) > 0 && s.shown[0][s.was] == status[s.was] {
		http.Error(w, `{"message": "Cannot transition status via :run from :running (Reason(s): Status cannot transition via \"run\")"}`, http.StatusBadRequest)
		return
	}
	s.shown = append([]map[string]any{status}, s.shown...)
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(status)
}

// open is a forge on a server of its own, with a token in a file.
func open(t *testing.T, m documented) (*Forge, *server, string) {
	t.Helper()
	s := &server{documented: m, token: "sesame-1"}
	listens := httptest.NewServer(s)
	t.Cleanup(listens.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(s.token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Kind: m.kind, TokenFile: file}
	if m.kind == "github" {
		o.API = listens.URL // without /api/v3, as on github.com
	}
	f, err := New(o, listens.URL+"/studio/games.git", gitsource.Auth{PasswordFile: "of no use here"})
	if err != nil {
		t.Fatal(err)
	}
	return f, s, file
}

func each(t *testing.T, test func(t *testing.T, f *Forge, s *server, file string)) {
	for _, m := range manuals {
		t.Run(m.kind, func(t *testing.T) {
			f, s, file := open(t, m)
			test(t, f, s, file)
		})
	}
}

func TestStatusesAreShown(t *testing.T) {
	each(t, func(t *testing.T, f *Forge, s *server, file string) {
		if is, err := f.Last(t.Context(), commit, "hotpatch/box"); err != nil || is != (Status{}) {
			t.Fatalf("at first there is %+v, %v", is, err)
		}
		for _, state := range []State{Pending, Success, Failure, Pending, Replaced} {
			want := Status{state, "hotpatch/box", "3 of 8 pods"}
			if err := f.Set(t.Context(), commit, want); err != nil {
				t.Fatal(err)
			}
			if is, err := f.Last(t.Context(), commit, "hotpatch/box"); err != nil || is != want {
				t.Errorf("%+v is shown (%v), want %+v", is, err, want)
			}
		}
		if s.shown[0][s.was] != s.replaced || s.shown[1][s.was] != s.pending {
			t.Errorf("the last two are shown as %v and %v", s.shown[1][s.was], s.shown[0][s.was])
		}
		if is, err := f.Last(t.Context(), commit, "hotpatch/other"); err != nil || is != (Status{}) {
			t.Errorf("of another cluster there is %+v, %v", is, err)
		}
	})
}

// GitLab cannot change the words of what stays as it is; that is no failure.
func TestWordsMayStay(t *testing.T) {
	each(t, func(t *testing.T, f *Forge, s *server, file string) {
		for _, words := range []string{"1 of 8 pods", "2 of 8 pods"} {
			if err := f.Set(t.Context(), commit, Status{Pending, "hotpatch/box", words}); err != nil {
				t.Errorf("%s: %v", words, err)
			}
		}
	})
}

func TestATokenIsReadAnew(t *testing.T) {
	each(t, func(t *testing.T, f *Forge, s *server, file string) {
		s.token = "sesame-2"
		_, err := f.Last(t.Context(), commit, "hotpatch/box")
		if err == nil || strings.Contains(err.Error(), "sesame") || !strings.HasPrefix(err.Error(), "read the status of commit 1a410efbd135 of studio/games at http://127.0.0.1:") {
			t.Errorf("with an old token: %v", err)
		}
		if err := os.WriteFile(file, []byte(s.token), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Last(t.Context(), commit, "hotpatch/box"); err != nil {
			t.Errorf("with the new one: %v", err)
		}
	})
}

// What a forge answers instead of what was asked is an error, and the token goes
// nowhere else.
func TestAForgesFailuresAreErrors(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed, with %v", r.Header)
	}))
	defer elsewhere.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"a login": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>sign in</html>") },
		"broken":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oops", http.StatusInternalServerError) },
		"moved":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"ends":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, f *Forge, s *server, _ string) {
				s.fails = answer
				if is, err := f.Last(t.Context(), commit, "hotpatch/box"); err == nil {
					t.Errorf("%+v was read", is)
				}
				if err := f.Set(t.Context(), commit, Status{Success, "hotpatch/box", "8 of 8 pods"}); err == nil {
					t.Error("it was shown")
				}
			})
		})
	}
}

// Who asks for silence is asked nothing.
func TestAForgeIsLeftAlone(t *testing.T) {
	each(t, func(t *testing.T, f *Forge, s *server, _ string) {
		s.fails = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, `{"message": "slow down"}`, http.StatusTooManyRequests)
		}
		for range 3 {
			if _, err := f.Last(t.Context(), commit, "hotpatch/box"); err == nil {
				t.Error("it was read")
			}
		}
		if s.asked != 1 {
			t.Errorf("asked %d times", s.asked)
		}
		s.fails = nil
		time.Sleep(time.Second)
		if _, err := f.Last(t.Context(), commit, "hotpatch/box"); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
}

func TestSilence(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		code   int
		header http.Header
		want   time.Duration
	}{
		"fine":              {200, header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(now.Unix()+60)), 0},
		"not allowed":       {403, header("X-RateLimit-Remaining", "12", "X-RateLimit-Reset", fmt.Sprint(now.Unix()+60)), 0},
		"spent":             {403, header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", fmt.Sprint(now.Unix()+60)), time.Minute},
		"seconds":           {429, header("Retry-After", "30"), 30 * time.Second},
		"a date":            {503, header("Retry-After", now.Add(90*time.Second).Format(http.TimeFormat)), 90 * time.Second},
		"too long":          {429, header("Retry-After", "864000"), longestSilence},
		"no time":           {429, header(), 0},
		"not a time at all": {429, header("Retry-After", "soon"), 0},
	} {
		got := silence(&http.Response{StatusCode: c.code, Header: c.header}, now)
		if want := now.Add(c.want); c.want == 0 && !got.IsZero() || c.want != 0 && !got.Equal(want) {
			t.Errorf("%s: until %v, want %v", name, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct{ kind, api, repo, git, want string }{
		{"github", "", "", "https://github.com/studio/games.git", "https://api.github.com studio/games"},
		{"github", "", "", "git@github.com:studio/games.git", "https://api.github.com studio/games"},
		{"github", "", "", "https://git.studio.example/studio/games", "https://git.studio.example/api/v3 studio/games"},
		{"gitlab", "", "", "ssh://git@gitlab.example:2222/studio/online/games.git", "https://gitlab.example/api/v4 studio/online/games"},
		{"gitlab", "", "", "https://gitlab.example:8443/studio/games.git", "https://gitlab.example:8443/api/v4 studio/games"},
		{"gitea", "", "", "http://10.0.0.1:3000/studio/games.git", "http://10.0.0.1:3000 studio/games"},
		{"gitea", "https://forge.example/git/", "ops/games", "file:///srv/games.git", "https://forge.example/git ops/games"},
		{"gitea", "https://forge.example", "", "file:///srv/games.git", "error"},
		{"gitea", "https://user:secret@forge.example", "", "https://forge.example/a/b", "error"},
		{"gitea", "", "", "https://forge.example/games.git", "error"},
		{"gitea", "", "games/", "https://forge.example/a/b", "error"},
		{"svn", "", "", "https://forge.example/a/b", "error"},
	} {
		f, err := New(Options{Kind: c.kind, API: c.api, Repository: c.repo}, c.git, gitsource.Auth{})
		got := "error"
		if err == nil {
			got = f.place.api + " " + f.place.repository()
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", c.git, err)
		}
		if got != c.want {
			t.Errorf("%s %s: %s (%v), want %s", c.kind, c.git, got, err, c.want)
		}
	}
}
