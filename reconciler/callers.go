package reconciler

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/internal/tokens"
)

const (
	// filesAudience is what tokens that are shown for files are made for.
	filesAudience = "hotpatch-reconciler"
	// ticketLife is how long a sidecar that was called has for coming: two of its
	// downloads may go before.
	ticketLife = 5 * time.Minute
)

// callers knows who may have files by their digest: sidecars that this process
// called, by the ticket in the URL that it gave them, and those that restore what
// they had, by their ServiceAccount's token.
type callers struct {
	key      []byte   // of the tickets; of this process alone
	accounts []string // names, or namespace:name
	reviewer tokens.Reviewer
}

func newCallers(accounts []string, api tokens.Reviewer) *callers {
	return &callers{key: []byte(rand.Text()), accounts: accounts, reviewer: tokens.Remember(api)}
}

// admit answers those who may not have the file of a digest. Nobody is asked about
// for a digest that is not served: strangers could keep the API server busy.
func (c *callers) admit(w http.ResponseWriter, r *http.Request, digest string, served bool) bool {
	if c.ticketed(r.URL.Query(), digest, time.Now()) {
		return true
	}
	token, shown := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !shown {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "files are for sidecars: show a ServiceAccount token for the audience "+filesAudience, http.StatusUnauthorized)
		return false
	}
	if !served {
		return true // there is nothing to have
	}
	code, why := c.judge(r.Context(), strings.TrimSpace(token))
	if code != http.StatusOK {
		http.Error(w, why, code)
	}
	return code == http.StatusOK
}

func (c *callers) judge(ctx context.Context, token string) (code int, why string) {
	user, err := c.reviewer.Review(ctx, token, filesAudience)
	switch {
	case err != nil:
		logging.From(ctx).WithError(err).Error("a sidecar's token cannot be reviewed; it gets no files")
		return http.StatusServiceUnavailable, "tokens cannot be reviewed now; see the reconciler's log"
	case user == "":
		return http.StatusUnauthorized, "the token is not good, or not for the audience " + filesAudience
	case !c.allowed(user):
		return http.StatusForbidden, user + " is not among the reconciler's --files-service-accounts"
	}
	return http.StatusOK, ""
}

// allowed tells whether a user, as the API server names it, is one of the accounts.
func (c *callers) allowed(user string) bool {
	account, is := strings.CutPrefix(user, "system:serviceaccount:")
	_, name, _ := strings.Cut(account, ":")
	return is && (slices.Contains(c.accounts, account) || slices.Contains(c.accounts, name))
}

// ticket is a query that lets its bearer have one file for some minutes.
func (c *callers) ticket(digest string, now time.Time) string {
	until := strconv.FormatInt(now.Add(ticketLife).Unix(), 10)
	return "until=" + until + "&ticket=" + c.sign(digest, until)
}

func (c *callers) ticketed(query url.Values, digest string, now time.Time) bool {
	until := query.Get("until")
	end, err := strconv.ParseInt(until, 10, 64)
	return err == nil && now.Unix() <= end && hmac.Equal([]byte(query.Get("ticket")), []byte(c.sign(digest, until)))
}

func (c *callers) sign(digest, until string) string {
	mac := hmac.New(sha256.New, c.key)
	fmt.Fprintf(mac, "%s\n%s", digest, until)
	return hex.EncodeToString(mac.Sum(nil))
}
