package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxTransfer bounds a fetch that goes on and on.
const MaxTransfer = 10 * time.Minute

// transfer is the context of a list and the fetch that follows. It ends when the server
// has not listed within a while; then, when nothing has come for as long. A large
// repository over a slow line takes what it takes: were all of it bounded as a list is,
// it would begin anew for ever.
type transfer struct {
	context.Context
	asker context.Context
	each  time.Duration
	timer *time.Timer
}

var errEndless = fmt.Errorf("the transfer does not end: %w", context.DeadlineExceeded)

// transfer begins one; stop ends it.
func (r *remote) transfer(ctx context.Context) (t *transfer, stop func()) {
	bounded, cancel := context.WithTimeoutCause(ctx, r.longest, errEndless)
	bounded, giveUp := context.WithCancelCause(bounded)
	t = &transfer{bounded, ctx, r.Timeout, time.AfterFunc(r.Timeout, func() { giveUp(context.DeadlineExceeded) })}
	return t, func() { t.timer.Stop(); giveUp(nil); cancel() }
}

// Err is why it ended: libraries repeat it.
func (t *transfer) Err() error {
	if t.Context.Err() == nil || t.asker.Err() != nil {
		return t.asker.Err()
	}
	return context.Cause(t.Context)
}

// because puts the end of a context before what it led to, where that does not say so.
func because(ctx context.Context, err error) error {
	if ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// more waits as long again.
func (t *transfer) more() {
	if t.Context.Err() == nil {
		t.timer.Reset(t.each)
	}
}

// watch is what a server answers: whenever something comes, more is waited for.
func (t *transfer) watch(answer io.Reader) io.Reader { return watched{t, answer} }

type watched struct {
	*transfer
	answer io.Reader
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.answer.Read(b)
	if n > 0 {
		w.more()
	}
	return n, err
}
