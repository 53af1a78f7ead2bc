package gitsource

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

const secretWord = "hunter2"

// page answers with a code, and with what came: servers have been seen to repeat it.
func page(code int, kind, body string, headers ...string) gittest.Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", kind)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, password, _ := r.BasicAuth()
		w.WriteHeader(code)
		fmt.Fprintf(w, "%s %s %s", body, password, r.Header.Get("Authorization"))
		return true
	}
}

// raw sends bytes as they are, then keeps silent until the client goes, or hangs up.
func raw(silent bool, bytes string) gittest.Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return false
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, bytes)
		if silent {
			_, _ = conn.Read(make([]byte, 1))
		}
		return true
	}
}

// half sends the first half of what Git answers, then does as raw.
func half(repo *gittest.Repo, silent bool) gittest.Fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		whole := httptest.NewRecorder()
		repo.Backend().ServeHTTP(whole, r)
		body := whole.Body.String()
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", whole.Header().Get("Content-Type"), len(body))
		return raw(silent, head+body[:len(body)/2])(w, r)
	}
}

// Whatever a server does, the error says what failed, where, and what to do; the
// next poll is as if nothing had been.
func TestServerFaults(t *testing.T) {
	type broken func(*gittest.Repo) gittest.Fault
	always := func(f gittest.Fault) broken { return func(*gittest.Repo) gittest.Fault { return f } }
	for name, c := range map[string]struct {
		fault broken
		want  string
	}{
		"401":             {always(page(401, "text/plain", "who are you?")), "check the credential files"},
		"403":             {always(page(403, "text/plain", "no")), "check the credential files"},
		"404":             {always(page(404, "text/plain", "none")), "check the URL"},
		"429":             {always(page(429, "text/plain", "slowly", "Retry-After", "0")), "429 Too Many Requests"},
		"500":             {always(page(500, "text/plain", strings.Repeat("trace ", 10000))), "500 Internal Server Error"},
		"a login":         {always(page(200, "text/html; charset=utf-8", "<html>please log in")), "not a Git server"},
		"garbage":         {always(page(200, "text/plain", "please log in")), "not a Git server"},
		"hangs":           {always(raw(true, "")), "did not answer within"},
		"hangs in header": {always(raw(true, "HTTP/1.1 200 OK\r\nContent-Ty")), "did not answer within"},
		"hangs midway":    {func(r *gittest.Repo) gittest.Fault { return half(r, true) }, "did not answer within"},
		"dies":            {always(raw(false, "")), "ended the answer"},
		"dies midway":     {func(r *gittest.Repo) gittest.Fault { return half(r, false) }, "ended the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := gittest.NewRepo(t)
			good := repo.Commit(map[string]string{"a/b": "1\n", "c": "2\n"}, "more to send")
			repo.Old = true
			breakAndMend(t, repo, good, gittest.ListForFetch, c.fault(repo), c.want)
			breakAndMend(t, repo, good, gittest.Fetch, c.fault(repo), c.want)
			repo.Old = false
			breakAndMend(t, repo, good, gittest.Greet, c.fault(repo), c.want)
			breakAndMend(t, repo, good, gittest.ListForFetch, c.fault(repo), c.want)
			breakAndMend(t, repo, good, gittest.Fetch, c.fault(repo), c.want)
		})
	}
}

func breakAndMend(t *testing.T, repo *gittest.Repo, good string, at gittest.Site, fault gittest.Fault, want string) {
	t.Helper()
	s, err := NewSource(Options{URL: repo.URL, Branch: "main", Auth: Auth{PasswordFile: private(t, secretWord)}})
	if err != nil {
		t.Fatal(err)
	}
	what := "list the branches of " + repo.URL
	if at == gittest.Fetch {
		what = "fetch from " + repo.URL
	}
	if strings.HasPrefix(want, "did not answer") {
		s.Timeout = 500 * time.Millisecond
	}
	repo.Break(at, fault)
	_, err = s.Newer(t.Context(), "")
	repo.Break(at, nil)
	if err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), want) || len(err.Error()) > 600 || strings.Contains(err.Error(), secretWord) {
		t.Errorf("old %v, at %s: %v", repo.Old, at, err)
	}
	s.Timeout = DefaultTimeout
	if got, err := s.Newer(t.Context(), ""); err != nil || got == nil || got.Commit != good {
		t.Errorf("old %v, at %s, afterwards: %+v, %v", repo.Old, at, got, err)
	}
}

// A server that wants to be left alone is, by everybody who shares the source.
func TestRetryAfterIsHonoured(t *testing.T) {
	repo := gittest.NewRepo(t)
	s := source(t, repo.URL)
	known := snapshot(t, s).Commit
	repo.Break(gittest.ListForFetch, page(429, "text/plain", "slowly", "Retry-After", "1"))
	seen := repo.Seen(gittest.ListForFetch)
	for range 5 {
		if _, err := s.Newer(t.Context(), known); err == nil || !strings.Contains(err.Error(), "asked again after") {
			t.Errorf("got %v", err)
		}
	}
	repo.Break(gittest.ListForFetch, nil)
	if asked := repo.Seen(gittest.ListForFetch) - seen; asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
	time.Sleep(1100 * time.Millisecond)
	if _, err := s.Newer(t.Context(), known); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Who reads and who writes ask one host. What it said to the one holds for the other, in
// either direction, and not for whoever has a silence of his own.
func TestSilenceIsKeptTogether(t *testing.T) {
	repo := gittest.NewRepo(t)
	slowly := page(429, "text/plain", "slowly", "Retry-After", "60")
	both := func() (*Source, *Writer) {
		together := Options{URL: repo.URL, Branch: "main", Silence: &Silence{}}
		s, err := NewSource(together)
		if err != nil {
			t.Fatal(err)
		}
		w, err := NewWriter(WriterOptions{Options: together, Author: Person{"Hotpatch", "hotpatch@box"}})
		if err != nil {
			t.Fatal(err)
		}
		return s, w
	}
	silenced := func(err error) bool { return err != nil && strings.Contains(err.Error(), "asked again after") }
	asked := func() (n int) {
		for _, at := range []gittest.Site{gittest.Greet, gittest.ListForFetch, gittest.Fetch, gittest.ListForPush, gittest.Push} {
			n += repo.Seen(at)
		}
		return n
	}

	s, w := both()
	repo.Break(gittest.ListForFetch, slowly)
	_, err := s.Newer(t.Context(), "")
	repo.Break(gittest.ListForFetch, nil)
	before := asked()
	if _, then := w.Commit(t.Context(), put("a", "1")); !silenced(err) || !silenced(then) || asked() != before {
		t.Errorf("read: %v; write: %v, %d questions", err, then, asked()-before)
	}

	s, w = both()
	repo.Break(gittest.Push, slowly)
	_, err = w.Commit(t.Context(), put("a", "1"))
	repo.Break(gittest.Push, nil)
	before = asked()
	if _, then := s.Newer(t.Context(), ""); !silenced(err) || !silenced(then) || asked() != before {
		t.Errorf("write: %v; read: %v, %d questions", err, then, asked()-before)
	}
	snapshot(t, source(t, repo.URL))
}

// A question that was under way ends no silence that is longer.
func TestTheLongerSilenceIsKept(t *testing.T) {
	var s Silence
	until := func(d time.Duration) *answerError { return &answerError{code: 429, until: time.Now().Add(d)} }
	long := until(time.Hour)
	for _, wrong := range []*answerError{until(time.Minute), long, until(0), {code: 500}} {
		s.keep("git.example", wrong)
	}
	if got := s.of("git.example"); got != error(long) {
		t.Errorf("got %v", got)
	}
	if got := s.of("other.example"); got != nil {
		t.Errorf("another host: %v", got)
	}
}

func TestHowLongSilenceIs(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for asked, want := range map[string]time.Duration{
		"": usualSilence, "7": 7 * time.Second, "soon": usualSilence, "-5": 0, "999999999999": longestSilence, "99999999999999999999999": usualSilence,
		"Mon, 23 Nov 2026 10:02:00 GMT": 2 * time.Minute, "Mon, 23 Nov 2020 10:02:00 GMT": 0, "Mon, 23 Nov 2076 10:02:00 GMT": longestSilence,
	} {
		if got := silenceFor(asked, now); got != want {
			t.Errorf("%q: %s, want %s", asked, got, want)
		}
	}
}

// What could not be pushed is pushed by the next try, once.
func TestPushFaults(t *testing.T) {
	t.Parallel()
	repo := gittest.NewRepo(t)
	for name, c := range map[string]struct {
		fault gittest.Fault
		want  string
	}{
		"401":   {page(401, "text/plain", "who are you?"), "401 Unauthorized: who are you?; check the credential files"},
		"403":   {page(403, "text/plain", "you may only read"), "403 Forbidden: you may only read; check the credential files"},
		"429":   {page(429, "text/plain", "slowly", "Retry-After", "0"), "429 Too Many Requests: slowly; it is asked again after"},
		"login": {page(200, "text/html", "<html>please log in"), "a page for people; what answers there is not a Git server but perhaps a login"},
		"503":   {page(503, "text/plain", "upgrading"), "503 Service Unavailable: upgrading"},
		"hangs": {raw(true, "HTTP/1.1 200"), "did not answer within"},
		"dies":  {raw(false, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"), "ended the answer"},
	} {
		for _, at := range []gittest.Site{gittest.ListForPush, gittest.Push} {
			w := writer(t, repo.URL, "hotpatch-status")
			if name == "hangs" {
				w.Timeout = 2 * time.Second // long enough for all before it
			}
			repo.Break(at, c.fault)
			_, err := w.Commit(t.Context(), put("a", name+string(at)))
			repo.Break(at, nil)
			var refused *RefusedError
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "push to "+repo.URL) || errors.As(err, &refused) {
				t.Errorf("%s at %s: %v", name, at, err)
			}
			w.Timeout = DefaultTimeout
			before := len(repo.Log("hotpatch-status"))
			if _, err := w.Commit(t.Context(), put("a", name+string(at))); err != nil {
				t.Errorf("%s at %s, afterwards: %v", name, at, err)
			}
			if after := len(repo.Log("hotpatch-status")); after != before+1 {
				t.Errorf("%s at %s: %d commits, then %d", name, at, before, after)
			}
		}
	}
}

// A result that a server asks to wait with is kept so long, and it is not asked.
func TestAPushWaitsForAsLongAsItIsAsked(t *testing.T) {
	t.Parallel()
	for _, at := range []gittest.Site{gittest.ListForPush, gittest.Push} {
		repo := gittest.NewRepo(t)
		w := writer(t, repo.URL, "main")
		repo.Break(at, page(429, "text/plain", "slowly", "Retry-After", "600"))
		for range 3 {
			if _, err := w.Commit(t.Context(), put("a", "1")); err == nil || !strings.Contains(err.Error(), "asked again after") {
				t.Errorf("%s: %v", at, err)
			}
		}
		repo.Break(at, nil)
		if asked := repo.Seen(at); asked != 1 {
			t.Errorf("%s: it was asked %d times", at, asked)
		}
		for _, answer := range w.web.silence.hosts { // ten minutes later
			answer.until = time.Now()
		}
		if _, err := w.Commit(t.Context(), put("a", "1")); err != nil || repo.Show("main", "a") != "1" {
			t.Errorf("%s: afterwards it has %q, %v", at, repo.Show("main", "a"), err)
		}
	}
}
