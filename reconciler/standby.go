package reconciler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/internal/guard"
	"hotpatch.dev/hotpatch/internal/logging"
)

const (
	// passTimeout is less than forges wait for an answer, which is ten seconds.
	passTimeout = 5 * time.Second
	// passedOn marks a trigger that a reconciler passes on: of two that take each other
	// for the leader, neither would end it.
	passedOn = "X-Hotpatch-Passed-On"
	// retryAfter is how many seconds later another leads, if none does now.
	retryAfter = "10"
)

// errNobodyPolls is what is said to whoever asked for a poll that does not come.
var errNobodyPolls = errors.New("this replica stands by, and the one that leads was not reached, so that nobody polls now: send it again (see the reconciler's log). Whoever leads next polls at once")

// standby has the leader poll. One Service leads to every replica, and who stands by
// reads no Git.
type standby struct {
	leader    func(ctx context.Context) (host string, err error)
	port      string // of all replicas
	tokenFile string // of POST /trigger, as at the leader
	client    *http.Client
}

func newStandby(o Options, leader func(context.Context) (string, error)) *standby {
	_, port, _ := net.SplitHostPort(o.Listen) // Validate has seen to it
	return &standby{leader, port, o.TriggerTokenFile, &http.Client{
		// The token is for the leader, at its pod: through no proxy, and to nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, DisableKeepAlives: true},
	}}
}

// passOn returns when the leader has taken the trigger.
func (s *standby) passOn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	host, err := s.leader(ctx)
	if err != nil {
		return err
	}
	request, err := s.request(ctx, net.JoinHostPort(host, s.port))
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("no answer from the leader at %s: %w", request.URL.Host, guard.WithoutURL(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusAccepted {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxWords)) // what there is of it
	return fmt.Errorf("the leader at %s answers %s: %s", request.URL.Host, answer.Status, strings.TrimSpace(string(said)))
}

func (s *standby) request(ctx context.Context, address string) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/trigger", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set(passedOn, "1")
	if s.tokenFile == "" {
		return request, nil
	}
	token, err := readToken(s.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("the trigger's token, which the leader wants, cannot be read: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return request, nil
}

// poll has the Git server polled now, by this process or by the one that leads. An
// error is for who asked; what it is about is logged.
func (r *Reconciler) poll(ctx context.Context, passed bool) error {
	if !r.options.LeaderElect || r.leads.Load() {
		r.follower.poll.fire(newCommit)
		return nil
	}
	if passed {
		return errNobodyPolls
	}
	if err := r.standby.passOn(ctx); err != nil {
		logging.From(ctx).WithError(err).Warn("the leader could not be told to poll; whoever leads next polls at once")
		return errNobodyPolls
	}
	return nil
}
