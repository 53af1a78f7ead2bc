package reconciler

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"k8s.io/utils/lru"

	"hotpatch.dev/hotpatch/internal/logging"
)

const (
	// maxDelivery is more than forges send of a push, whose commits they cut off.
	maxDelivery = 4 << 20
	// maxSeen deliveries are remembered.
	maxSeen = 1024
)

// webhooks takes what forges post about pushes. Its signature comes first: nothing
// of a delivery is read before it is known to be made with a secret of ours.
type webhooks struct {
	secretFile string // read at each delivery; "": there are none
	branch     string // pushes to others are no news; "": those of tags are
	poll       func(ctx context.Context) error
	metrics    *metrics
	seen       *lru.Cache // deliveries that have an ID, by the digest of it and the body
}

func newWebhooks(secretFile, branch string, m *metrics, poll func(context.Context) error) *webhooks {
	return &webhooks{secretFile, branch, poll, m, lru.New(maxSeen)}
}

// deliveryHeaders tell one delivery from another; that of Standard Webhooks is signed.
// The last is Bitbucket's server's, and what proxies give to whatever has none.
var deliveryHeaders = []string{standardwebhooks.HeaderWebhookID, "X-GitHub-Delivery", "X-Forgejo-Delivery", "X-Gitea-Delivery", "X-Gogs-Delivery", "X-Gitlab-Event-UUID", "X-Request-UUID", "X-Hotpatch-Delivery", "X-Request-Id"}

// eventHeaders say what happened, and pushes are the events that matter.
var (
	eventHeaders = []string{"X-Forgejo-Event", "X-Gitea-Event", "X-Gogs-Event", "X-GitHub-Event", "X-Gitlab-Event", "X-Event-Key"}
	pushes       = map[string]bool{"push": true, "Push Hook": true, "Tag Push Hook": true, "repo:push": true, "repo:refs_changed": true}
)

// ServeHTTP answers POST /webhook: 202 if the Git server is polled now, 200 if there
// is no reason to, 503 if there is and nobody does.
func (h *webhooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	code, result, words := h.take(w, r)
	h.metrics.webhooks.WithLabelValues(result).Inc()
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	if code >= http.StatusBadRequest {
		http.Error(w, words, code)
		return
	}
	w.WriteHeader(code)
	fmt.Fprintln(w, words)
}

func (h *webhooks) take(w http.ResponseWriter, r *http.Request) (code int, result, words string) {
	if h.secretFile == "" {
		return http.StatusNotFound, "refused", "webhooks are not taken: the reconciler has no --webhook-secret-file"
	}
	secrets, err := readSecrets(h.secretFile)
	if err != nil {
		logging.From(r.Context()).WithError(err).Error("no webhook can be taken: its secrets cannot be read")
		return http.StatusInternalServerError, "failed", "the secrets of webhooks cannot be read; see the reconciler's log"
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDelivery))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, "refused", fmt.Sprintf("the body has more than %d bytes", maxDelivery)
	}
	if err != nil {
		return http.StatusBadRequest, "refused", "the body did not come whole"
	}
	if err := signed(r.Header, body, secrets); err != nil {
		return http.StatusUnauthorized, "refused", err.Error()
	}
	return h.judge(r.Context(), r.Header, body)
}

// judge tells news from the rest of what is signed.
func (h *webhooks) judge(ctx context.Context, header http.Header, body []byte) (code int, result, words string) {
	if event := first(header, eventHeaders); event != "" && !pushes[event] {
		return http.StatusOK, "ignored", fmt.Sprintf("the event %.40q is no push", event)
	}
	refs, err := pushed(header, body)
	if err != nil {
		return http.StatusBadRequest, "refused", "the body is not what forges send of a push: " + err.Error()
	}
	if !h.concerns(refs) {
		return http.StatusOK, "ignored", "nothing was pushed that is followed"
	}
	delivery := deliveryOf(first(header, deliveryHeaders), body)
	if _, taken := h.seen.Get(delivery); taken {
		return http.StatusOK, "repeated", "this delivery was taken before"
	}
	if err := h.poll(ctx); err != nil {
		return http.StatusServiceUnavailable, "failed", err.Error()
	}
	if delivery != nil {
		h.seen.Add(delivery, struct{}{}) // not before: the forge may send it again
	}
	return http.StatusAccepted, "taken", "polling"
}

func first(header http.Header, names []string) string {
	for _, name := range names {
		if value := header.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// concerns: what names no ref may be about what is followed.
func (h *webhooks) concerns(refs []string) bool {
	return len(refs) == 0 || slices.ContainsFunc(refs, h.follows)
}

// follows: where tags are followed, a name without a kind may be one's.
func (h *webhooks) follows(ref string) bool {
	branch, isBranch := strings.CutPrefix(ref, "refs/heads/")
	if h.branch == "" {
		return !isBranch
	}
	return branch == h.branch
}

// deliveryOf tells one from another; nil: from none. Two pushes can have the same body,
// and only an ID says that they are one. Whoever repeats one without it has the server
// polled once more, and nothing else.
func deliveryOf(id string, body []byte) any {
	if id == "" {
		return nil
	}
	return sha256.Sum256(append([]byte(id+"\n"), body...))
}

// push is what forges say of one, as far as it matters: GitHub, GitLab, Gitea,
// Forgejo and Gogs have a ref, Bitbucket's cloud and its server have changes.
type push struct {
	Ref  string `json:"ref"`
	Push struct {
		Changes []struct {
			New, Old named // one is null where the ref is made, or deleted
		} `json:"changes"`
	} `json:"push"`
	Changes []struct {
		Ref struct {
			ID string `json:"id"`
		} `json:"ref"`
	} `json:"changes"`
}

// named is what Bitbucket's cloud has for a ref.
type named struct{ Type, Name string }

func (n named) ref() string {
	switch {
	case n.Name == "":
		return ""
	case n.Type == "branch":
		return "refs/heads/" + n.Name
	case n.Type == "tag":
		return "refs/tags/" + n.Name
	}
	return n.Name
}

// unwrapped is the JSON of a body. GitHub can send it as a form; curl calls whatever it
// posts a form.
func unwrapped(header http.Header, body []byte) []byte {
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" {
		return body
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !form.Has("payload") {
		return body
	}
	return []byte(form.Get("payload"))
}

// pushed lists the refs that a delivery names.
func pushed(header http.Header, body []byte) (refs []string, err error) {
	var p push
	if err := json.Unmarshal(unwrapped(header, body), &p); err != nil {
		return nil, errors.New("want JSON")
	}
	all := []string{p.Ref}
	for _, c := range p.Push.Changes {
		all = append(all, cmp.Or(c.New.ref(), c.Old.ref()))
	}
	for _, c := range p.Changes {
		all = append(all, c.Ref.ID)
	}
	for _, ref := range all {
		if ref != "" {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}
