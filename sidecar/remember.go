package sidecar

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
	maxTokens   = 64
)

// remembered is a reviewer that asks once a minute about the same good token:
// the reconciler brings one for each of many files.
type remembered struct {
	reviewer

	mu    sync.Mutex
	known map[[sha256.Size]byte]known // by the token's digest: no token is kept
}

// known is whose a token was.
type known struct {
	user  string
	until time.Time
}

func (m *remembered) Review(ctx context.Context, token, audience string) (string, error) {
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

func (m *remembered) recall(digest [sha256.Size]byte, now time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.known, func(_ [sha256.Size]byte, k known) bool { return now.After(k.until) })
	return m.known[digest].user
}

func (m *remembered) keep(digest [sha256.Size]byte, k known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) >= maxTokens {
		m.known = map[[sha256.Size]byte]known{}
	}
	m.known[digest] = k
}
