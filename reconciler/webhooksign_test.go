package reconciler

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// standard are the headers of a delivery by Standard Webhooks, as its specification
// says: HMAC-SHA256 over "ID.TIME.BODY", in base64.
func standard(key []byte, id, body string, at time.Time) []string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body)
	return []string{"Webhook-Id", id, "Webhook-Timestamp", fmt.Sprint(at.Unix()), "Webhook-Signature", "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

// The specification's own example, whose time is long over.
func TestStandardWebhooksExample(t *testing.T) {
	header := http.Header{}
	header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("webhook-timestamp", "1614265330")
	header.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if err := signed(header, []byte(`{"test": 2432232314}`), []string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}); err != errStale {
		t.Errorf("signed in 2021: %v", err)
	}
}

func TestStandardWebhooks(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	secret := "whsec_" + base64.StdEncoding.EncodeToString(key)
	body, now := `{"ref":"refs/heads/main"}`, time.Now()
	good := standard(key, "1", body, now)
	with := func(headers []string, name, value string) []string {
		return append(append([]string{}, headers...), name, value)
	}
	for name, c := range map[string]struct {
		secret  string
		body    string
		headers []string
		code    int
	}{
		"fresh":                       {secret, body, good, 202},
		"by GitLab's signing token":   {secret, body, with(good, "X-Gitlab-Event", "Push Hook"), 202},
		"by base64 alone":             {strings.TrimPrefix(secret, "whsec_"), body, good, 202},
		"by a secret as it stands":    {hookSecret, body, standard([]byte(hookSecret), "1", body, now), 202},
		"four minutes ago":            {secret, body, standard(key, "1", body, now.Add(-4*time.Minute)), 202},
		"six minutes ago":             {secret, body, standard(key, "1", body, now.Add(-6*time.Minute)), 401},
		"six minutes ahead":           {secret, body, standard(key, "1", body, now.Add(6*time.Minute)), 401},
		"one of two signatures":       {secret, body, append(good[:5:5], "v1,AAAA "+good[5]), 202},
		"another version":             {secret, body, append(good[:5:5], "v2"+good[5][2:]), 401},
		"another body":                {secret, body + " ", good, 401},
		"another ID":                  {secret, body, append([]string{"Webhook-Id", "2"}, good[2:]...), 401},
		"another time":                {secret, body, append(good[:3:3], append([]string{fmt.Sprint(now.Unix() + 1)}, good[4:]...)...), 401},
		"no ID":                       {secret, body, good[2:], 401},
		"no time":                     {secret, body, append(good[:2:2], good[4:]...), 401},
		"the wrong secret":            {"whsec_" + base64.StdEncoding.EncodeToString(append(key, '!')), body, good, 401},
		"no key":                      {"whsec_", body, standard(nil, "1", body, now), 401},
		"a bad one before good ones":  {secret, body, with(append(good[:5:5], "v1,AAAA"), "X-Gitlab-Token", secret), 401},
		"a good one before a bad one": {secret, body, with(good, "X-Gitlab-Token", "wrong"), 202},
	} {
		server, polls, _ := hookedBy(t, c.secret)
		code, said := deliver(t, server, c.body, c.headers...)
		if code != c.code || *polls != map[int]int{202: 1, 401: 0}[code] {
			t.Errorf("%s: %d %s, %d polls", name, code, said, *polls)
		}
		if stale := strings.Contains(said, "compare the clocks"); stale != strings.HasPrefix(name, "six") {
			t.Errorf("%s: %s", name, said)
		}
	}
	server, polls, _ := hookedBy(t, secret)
	deliver(t, server, body, good...)
	if code, said := deliver(t, server, body, with(good, "X-Gitlab-Event-UUID", "another")...); code != 200 || *polls != 1 {
		t.Errorf("a replay: %d %s, %d polls", code, said, *polls)
	}
}

// While a secret is replaced, both count; afterwards the old one does not.
func TestSecretsRotate(t *testing.T) {
	server, _, file := hookedBy(t, "")
	id := 0
	for _, c := range []struct {
		content  string
		old, new int
	}{
		{"old\n", 202, 401}, {"new\nold\n", 202, 202}, {"\n  old \r\n\r\nnew", 202, 202}, {"new\n", 401, 202},
		{"\n \n", 500, 500}, {strings.Repeat("x\n", maxSecrets) + "new\n", 500, 500},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		for secret, want := range map[string]int{"old": c.old, "new": c.new} {
			id++
			body := fmt.Sprintf(`{"ref":"refs/heads/main","after":"%d"}`, id)
			for by, headers := range map[string][]string{
				"GitHub":   {"X-Hub-Signature-256", "sha256=" + hmacBy(secret, body), "X-GitHub-Delivery", "1"},
				"GitLab":   {"X-Gitlab-Token", secret, "X-Gitlab-Event-UUID", "2"},
				"standard": standard([]byte(secret), "3", body, time.Now()),
			} {
				if code, said := deliver(t, server, body, headers...); code != want || strings.Contains(said, file) {
					t.Errorf("%q, %s by %s: %d %s", c.content, secret, by, code, said)
				}
			}
		}
	}
}

// Whatever is sent: without the secret it is not signed.
func FuzzWebhookSignature(f *testing.F) {
	f.Add("1", "1795745000", "v1,AAAA", "whsec_")
	f.Add("", "+1795745000", "v1, v1,, v2,AA=", "bm9ib2R5cyBzZWNyZXQ=")
	f.Add("1", "99999999999999999999", strings.Repeat("v1,A ", 100), "x")
	f.Fuzz(func(t *testing.T, id, at, signature, given string) {
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {signature}, gitlabToken: {given}}
		if err := signed(header, []byte(given), []string{"whsec_bm9ib2R5cyBzZWNyZXQ=", hookSecret + " battery staple"}); err != errUnsigned {
			t.Errorf("%v: %v", header, err)
		}
	})
}
