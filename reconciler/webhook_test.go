package reconciler

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const hookSecret = "correct horse"

// hooked serves webhooks of the branch main, and counts polls.
func hooked(t testing.TB) (server *httptest.Server, polls *int) {
	t.Helper()
	server, polls, _ = hookedBy(t, hookSecret+"\n")
	return server, polls
}

// hookedBy has a file of secrets.
func hookedBy(t testing.TB, secrets string) (server *httptest.Server, polls *int, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secrets), 0o600); err != nil {
		t.Fatal(err)
	}
	polls = new(int)
	m := newMetrics()
	e := &endpoints{metrics: m, files: &files{}, webhooks: newWebhooks(file, "main", m, func(context.Context) error { *polls++; return nil })}
	server = httptest.NewServer(e.handler())
	t.Cleanup(server.Close)
	return server, polls, file
}

func hmacOf(body string) string { return hmacBy(hookSecret, body) }

func hmacBy(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

// deliver posts a body with headers, given as name, value, name, value…
func deliver(t testing.TB, server *httptest.Server, body string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequest("POST", server.URL+"/webhook", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(said)
}

// What each forge sends of a push to the branch, and of one to another.
func TestForgesAreHeard(t *testing.T) {
	ours, other := `{"ref":"refs/heads/main","after":"1"}`, `{"ref":"refs/heads/hotpatch-status","after":"1"}`
	cloud := `{"push":{"changes":[{"new":{"type":"branch","name":"BRANCH"},"old":null}]}}`
	own := `{"changes":[{"ref":{"id":"refs/heads/BRANCH","type":"BRANCH"},"type":"UPDATE"}]}`
	named := func(body, branch string) string { return strings.ReplaceAll(body, "BRANCH", branch) }
	form := func(body string) string { return url.Values{"payload": {body}}.Encode() }
	for forge, c := range map[string]struct {
		ours, other string
		headers     func(body string) []string
	}{
		"GitHub": {ours, other, func(b string) []string {
			return []string{"X-GitHub-Event", "push", "X-GitHub-Delivery", "1", "X-Hub-Signature-256", "sha256=" + hmacOf(b)}
		}},
		"GitHub, as a form": {form(ours), form(other), func(b string) []string {
			return []string{"Content-Type", "application/x-www-form-urlencoded", "X-GitHub-Event", "push", "X-GitHub-Delivery", "1", "X-Hub-Signature-256", "sha256=" + hmacOf(b)}
		}},
		"Gitea": {ours, other, func(b string) []string {
			return []string{"X-Gitea-Event", "push", "X-GitHub-Event", "push", "X-Gitea-Delivery", "1", "X-Gitea-Signature", hmacOf(b), "X-Hub-Signature-256", "sha256=" + hmacOf(b)}
		}},
		"Forgejo": {ours, other, func(b string) []string {
			return []string{"X-Forgejo-Event", "push", "X-Forgejo-Delivery", "2", "X-Forgejo-Signature", hmacOf(b)}
		}},
		"Gogs": {ours, other, func(b string) []string {
			return []string{"X-Gogs-Event", "push", "X-Gogs-Delivery", "1", "X-Gogs-Signature", hmacOf(b)}
		}},
		"GitLab": {ours, other, func(string) []string {
			return []string{"X-Gitlab-Event", "Push Hook", "X-Gitlab-Event-UUID", "1", "X-Gitlab-Token", hookSecret}
		}},
		"Bitbucket's cloud": {named(cloud, "main"), named(cloud, "other"), func(b string) []string {
			return []string{"X-Event-Key", "repo:push", "X-Request-UUID", "1", "X-Hub-Signature", "sha256=" + hmacOf(b)}
		}},
		"Bitbucket's server": {named(own, "main"), named(own, "other"), func(b string) []string {
			return []string{"X-Event-Key", "repo:refs_changed", "X-Request-Id", "1", "X-Hub-Signature", "sha256=" + hmacOf(b)}
		}},
		"anybody": {`{"ref":"main"}`, `{"ref":"other"}`, func(b string) []string {
			return []string{"X-Hotpatch-Signature", hmacOf(b), "X-Hotpatch-Delivery", "1"}
		}},
		"anybody, of no branch": {`{}`, other, func(b string) []string {
			return []string{"X-Hotpatch-Signature", hmacOf(b), "X-Hotpatch-Delivery", "2"}
		}},
	} {
		server, polls := hooked(t)
		if code, said := deliver(t, server, c.other, c.headers(c.other)...); code != 200 || *polls != 0 {
			t.Errorf("%s, another branch: %d %s", forge, code, said)
		}
		if code, said := deliver(t, server, c.ours, c.headers(c.ours)...); code != 202 || *polls != 1 {
			t.Errorf("%s: %d %s, %d polls", forge, code, said, *polls)
		}
		if code, said := deliver(t, server, c.ours, c.headers(c.ours)...); code != 200 || *polls != 1 {
			t.Errorf("%s, once more: %d %s, %d polls", forge, code, said, *polls)
		}
	}
}

// What docs/git.md has people post by curl, which calls it a form, is the same for each
// push; and of two pushes with the same body only an ID could say that they are one.
func TestEachDeliveryWithoutAnIDPolls(t *testing.T) {
	body := `{"ref": "refs/heads/main"}`
	for name, headers := range map[string][]string{
		"curl":           {"X-Hotpatch-Signature", "sha256=" + hmacOf(body), "Content-Type", "application/x-www-form-urlencoded"},
		"JSON":           {"X-Hotpatch-Signature", "sha256=" + hmacOf(body), "Content-Type", "application/json"},
		"GitLab's token": {"X-Gitlab-Token", hookSecret, "X-Gitlab-Event", "Push Hook"},
	} {
		server, polls := hooked(t)
		for n := 1; n <= 2; n++ {
			if code, said := deliver(t, server, body, headers...); code != 202 || *polls != n {
				t.Errorf("%s, call %d: %d %s, %d polls", name, n, code, said, *polls)
			}
		}
	}
}

// Deliveries by two IDs are two, whatever their bodies, and those of two bodies are, too:
// GitLab's ID is the same where one event brings another.
func TestDeliveriesAreToldApartByIDAndBody(t *testing.T) {
	server, polls := hooked(t)
	for n, c := range []struct {
		id, after string
		code      int
	}{{"1", "a", 202}, {"2", "a", 202}, {"1", "b", 202}, {"2", "a", 200}, {"1", "a", 200}} {
		body := `{"ref":"refs/heads/main","after":"` + c.after + `"}`
		if code, said := deliver(t, server, body, "X-Gitlab-Token", hookSecret, "X-Gitlab-Event-UUID", c.id); code != c.code {
			t.Errorf("delivery %d: %d %s", n, code, said)
		}
	}
	if *polls != 3 {
		t.Errorf("%d polls, want 3", *polls)
	}
}

func TestWebhooksAreSigned(t *testing.T) {
	server, polls := hooked(t)
	body := `{"ref":"refs/heads/main"}`
	for name, headers := range map[string][]string{
		"nothing":               {},
		"a wrong signature":     {"X-Hub-Signature-256", "sha256=" + hmacOf(body+" ")},
		"half a signature":      {"X-Gitea-Signature", hmacOf(body)[:32]},
		"a wrong token":         {"X-Gitlab-Token", "wrong"},
		"an empty token":        {"X-Gitlab-Token", ""},
		"a wrong one first":     {"X-Hub-Signature-256", "sha256=00", "X-Gitlab-Token", hookSecret},
		"the secret as its own": {"X-Hub-Signature-256", "sha256=" + hookSecret},
	} {
		if code, _ := deliver(t, server, body, headers...); code != 401 {
			t.Errorf("%s: %d", name, code)
		}
	}
	for name, c := range map[string]struct {
		body, event string
		code        int
	}{
		"a ping":         {`{"zen":"Keep it simple."}`, "ping", 200},
		"another event":  {`{"ref":"refs/heads/main"}`, "create", 200},
		"no JSON":        {`ref=main`, "push", 400},
		"too much of it": {`{"ref":"` + strings.Repeat("x", maxDelivery) + `"}`, "push", 413},
	} {
		if code, said := deliver(t, server, c.body, "X-GitHub-Event", c.event, "X-Hub-Signature-256", "sha256="+hmacOf(c.body)); code != c.code {
			t.Errorf("%s: %d %s", name, code, said)
		}
	}
	if code, said := deliver(t, server, body, "X-Gogs-Event", "create", "X-Gogs-Signature", hmacOf(body)); code != 200 {
		t.Errorf("another event of Gogs: %d %s", code, said)
	}
	if *polls != 0 {
		t.Errorf("%d polls", *polls)
	}
}

// Where tags are followed, our own commits to a branch are no news.
func TestPushesOfTagsAreNews(t *testing.T) {
	h := newWebhooks("", "", newMetrics(), nil)
	for ref, want := range map[string]bool{"refs/tags/v1.2.0": true, "v1.2.0": true, "refs/heads/main": false, "refs/heads/hotpatch-status": false} {
		if h.concerns([]string{ref}) != want {
			t.Errorf("%s: want %t", ref, want)
		}
	}
}

// Bitbucket's cloud names no refs, but says of each name what it is; and of what is
// deleted, what it was.
func TestBitbucketsNamesAreRefs(t *testing.T) {
	for change, want := range map[string]string{
		`{"new":{"type":"branch","name":"v1"},"old":{"type":"branch","name":"v1"}}`: "refs/heads/v1",
		`{"new":null,"old":{"type":"branch","name":"v1"}}`:                          "refs/heads/v1",
		`{"new":{"type":"tag","name":"v1"},"old":null}`:                             "refs/tags/v1",
		`{"new":{"type":"bookmark","name":"v1"}}`:                                   "v1",
		`{"new":null,"old":null}`:                                                   "",
	} {
		refs, err := pushed(http.Header{}, []byte(`{"push":{"changes":[`+change+`]}}`))
		if got := strings.Join(refs, " "); got != want || err != nil {
			t.Errorf("%s: %q, %v", change, got, err)
		}
	}
}

func TestWebhooksNeedASecret(t *testing.T) {
	m := newMetrics()
	for file, want := range map[string]int{"": 404, "/nowhere/secret": 500} {
		e := &endpoints{metrics: m, files: &files{}, webhooks: newWebhooks(file, "main", m, func(context.Context) error { t.Error("polled"); return nil })}
		server := httptest.NewServer(e.handler())
		if code, said := deliver(t, server, "{}", "X-Gitlab-Token", ""); code != want || strings.Contains(said, "/nowhere") {
			t.Errorf("%q: %d %s", file, code, said)
		}
		server.Close()
	}
}

// Whatever stands in a body: it is read or refused, and names refs as they stand there.
func FuzzWebhookBody(f *testing.F) {
	f.Add([]byte(`{"ref":"refs/heads/main"}`), "application/json")
	f.Add([]byte(`payload=%7B%22ref%22%3A%22main%22%7D`), "application/x-www-form-urlencoded")
	f.Add([]byte(`{"ref": "refs/heads/main"}`), "application/x-www-form-urlencoded")
	f.Add([]byte(`{"push":{"changes":[{"new":null,"old":{"type":"branch","name":"main"}}]},"changes":[{"ref":{"id":"x"}}]}`), "")
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		refs, err := pushed(http.Header{"Content-Type": {kind}}, body)
		for _, ref := range refs {
			if err != nil || ref == "" {
				t.Errorf("%q, %v", refs, err)
			}
			ref = strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/")
			plain := bytes.Contains(body, []byte(ref)) || bytes.ContainsAny(body, `\%+`) || strings.ContainsRune(ref, '\uFFFD')
			if !plain {
				t.Errorf("%q does not stand in %q", ref, body)
			}
		}
	})
}
