package reconciler

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// delivery is one as a forge makes it: headers and body as its documentation has them,
// whole, with values of nobody.
type delivery struct {
	Headers map[string]string
	Body    json.RawMessage
}

// signedBy adds what the forge signs with, and is headers as deliver wants them.
func (d delivery) signedBy(forge string) (headers []string) {
	for name, value := range d.Headers {
		headers = append(headers, name, value)
	}
	body := string(d.Body)
	switch forge {
	case "github":
		old := hmac.New(sha1.New, []byte(hookSecret))
		old.Write(d.Body)
		return append(headers, "X-Hub-Signature", "sha1="+hex.EncodeToString(old.Sum(nil)), "X-Hub-Signature-256", "sha256="+hmacOf(body))
	case "bitbucket":
		return append(headers, "X-Hub-Signature", "sha256="+hmacOf(body))
	}
	return append(headers, "X-Gitlab-Token", hookSecret)
}

// Whole deliveries, to who follows the branch main, and to who follows tags. What is
// gone is news as well: a tag may have been the highest.
func TestWholeDeliveriesAreRead(t *testing.T) {
	news := map[string]struct{ main, tags int }{
		"github-push":             {202, 200},
		"github-push-deleted":     {202, 200},
		"gitlab-push":             {202, 200},
		"gitlab-tag-push":         {200, 202},
		"gitlab-tag-push-deleted": {200, 202},
		"bitbucket-push":          {202, 200},
		"bitbucket-push-deleted":  {202, 200},
		"bitbucket-push-tag":      {200, 202},
	}
	all, err := filepath.Glob("testdata/webhooks/*.json")
	if err != nil || len(all) != len(news) {
		t.Errorf("%d deliveries, want %d, %v", len(all), len(news), err)
	}
	for name, want := range news {
		content, err := os.ReadFile("testdata/webhooks/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var d delivery
		if err := json.Unmarshal(content, &d); err != nil {
			t.Fatal(err)
		}
		for branch, code := range map[string]int{"main": want.main, "": want.tags} {
			d.comesTwice(t, name, branch, code)
		}
	}
}

// comesTwice delivers it as when the first answer was lost.
func (d delivery) comesTwice(t *testing.T, name, branch string, code int) {
	t.Helper()
	polls, m := 0, newMetrics()
	h := newWebhooks(secretFile(t, hookSecret), branch, m, func(context.Context) error { polls++; return nil })
	server := httptest.NewServer((&endpoints{metrics: m, files: &files{}, webhooks: h}).handler())
	defer server.Close()
	forge, _, _ := strings.Cut(name, "-")
	first, said := deliver(t, server, string(d.Body), d.signedBy(forge)...)
	second, _ := deliver(t, server, string(d.Body), d.signedBy(forge)...)
	if first != code || second != 200 || polls != map[int]int{202: 1, 200: 0}[code] {
		t.Errorf("%s, of branch %q: %d %s, and %d; %d polls", name, branch, first, said, second, polls)
	}
}
