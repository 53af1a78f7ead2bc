// Package tokens remembers whose ServiceAccount tokens are, so that the API server
// is not asked at each call. Bad tokens are not remembered: they may become good.
package tokens

import (
	"context"
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

const (
	// rememberFor is how long a token goes on being good that was taken back.
	rememberFor = time.Minute
	maxTokens   = 512
)

// Reviewer is the API server's opinion of a token: the user is "" when it is not
// good, or not meant for the audience.
type Reviewer interface {
	Review(ctx context.Context, token, audience string) (user string, err error)
}

// Remembered is a Reviewer that asks another once a minute about the same good
// token. It may be used from several goroutines.
type Remembered struct {
	reviewer Reviewer

	mu    sync.Mutex
	known map[[sha256.Size]byte]known // by the token's digest: no token is kept
}

// known is whose a token was.
type known struct {
	user  string
	until time.Time
}

// Remember remembers what a Reviewer says.
func Remember(reviewer Reviewer) *Remembered {
	return &Remembered{reviewer: reviewer, known: map[[sha256.Size]byte]known{}}
}

// Review is whose the token is, by the Reviewer now or within the last minute.
func (m *Remembered) Review(ctx context.Context, token, audience string) (string, error) {
	digest := sha256.Sum256([]byte(audience + "\n" + token))
	if user := m.recall(digest, time.Now()); user != "" {
		return user, nil
	}
	user, err := m.reviewer.Review(ctx, token, audience)
	if err == nil && user != "" {
		m.keep(digest, known{user, time.Now().Add(rememberFor)})
	}
	return user, err
}

func (m *Remembered) recall(digest [sha256.Size]byte, now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.known, func(_ [sha256.Size]byte, k known) bool { return now.After(k.until) })
	return m.known[digest].user
}

func (m *Remembered) keep(digest [sha256.Size]byte, k known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= maxTokens {
		clear(m.known)
	}
	m.known[digest] = k
}
