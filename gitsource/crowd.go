package gitsource

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// How long a writer may wait for its turn: a commit takes a server some 50 ms, and
// twenty clusters on one branch make the longest queue that is planned for.
const (
	shortestTurn = 150 * time.Millisecond
	longestTurn  = 1500 * time.Millisecond
	// patience is how many turns a writer loses before it takes shorter ones.
	patience = 4
)

// crowd is what a writer has seen of others on its branch: the time within which
// it tries once. A loss doubles it, and a commit without one halves it. Who has won
// keeps it for the next commit: with nothing to fetch it would otherwise beat those
// that wait, again and again.
type crowd struct{ turn time.Duration }

// wait waits for the next turn, after so many lost ones.
func (c *crowd) wait(ctx context.Context, lost int) error {
	if lost > 0 {
		c.turn = min(max(2*c.turn, shortestTurn), longestTurn)
	}
	if c.turn < shortestTurn {
		return context.Cause(ctx)
	}
	turn := c.turn
	if lost >= patience {
		turn /= 4
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(rand.N(turn)):
		return nil
	}
}

// won ends a commit that lost so many turns.
func (c *crowd) won(lost int) {
	if lost == 0 {
		c.turn /= 2
	}
}

// races are those lost in a row from one place of the branch.
type races struct {
	from plumbing.Hash
	lost int
}

// toNobody tells whether a race was none: servers say the same where a branch
// cannot be made, or their disk is full. Then nobody moves it.
func (r *races) toNobody(lost *lostRaceError) bool {
	if lost.from != r.from {
		*r = races{from: lost.from}
	}
	r.lost++
	return r.lost > patience
}
