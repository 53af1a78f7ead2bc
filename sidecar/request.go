package sidecar

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	maxReply  = 4 << 10 // bytes of a process's answer that are looked at
	maxQuoted = 200     // bytes of it that an error tells
)

// requester tells a process of new files by a request: over HTTP, or as a line
// over TCP and the answer to it, as Redis speaks.
type requester struct {
	address string // "127.0.0.1:8080"
	path    string
	method  string
	send    string         // "": HTTP
	expect  *regexp.Regexp // of the answer to send
	wait    time.Duration
	client  *http.Client
}

func newRequester(c Request) (*requester, error) {
	port, err := strconv.ParseUint(fmt.Sprint(c.Port), 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("request.port: want the port that the main process listens on, got %v", c.Port)
	}
	if c.Path != "" && !strings.HasPrefix(c.Path, "/") {
		return nil, fmt.Errorf("request.path: want a path such as /reload, got %q", c.Path)
	}
	if (c.Send == "") != (c.Expect == "") {
		return nil, errors.New("request: send and expect go together: what to say, and what a good answer matches")
	}
	expect, err := regexp.Compile(c.Expect)
	if err != nil {
		return nil, fmt.Errorf("request.expect: %w", err)
	}
	wait, err := waitOf(c.Wait, defaultWait)
	if err != nil {
		return nil, fmt.Errorf("request.wait: %w", err)
	}
	return &requester{
		address: net.JoinHostPort(cmp.Or(c.Address, "127.0.0.1"), strconv.FormatUint(port, 10)),
		path:    cmp.Or(c.Path, "/"),
		method:  cmp.Or(c.Method, http.MethodPost),
		send:    c.Send,
		expect:  expect,
		wait:    wait,
		client:  localClient(),
	}, nil
}

// localClient asks processes of the same pod: it follows nobody elsewhere, and
// keeps nothing open between two updates.
func localClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tell makes the request, waiting for the process to listen if it does not yet.
func (q *requester) tell(ctx context.Context, a ask) error {
	if err := patiently(ctx, q.wait, func() error { return q.try(ctx, a) }); err != nil {
		return fmt.Errorf("failed to ask the process at %s to reload: %w", q.address, err)
	}
	return nil
}

func (q *requester) try(ctx context.Context, a ask) error {
	ctx, cancel := context.WithTimeoutCause(ctx, q.wait, fmt.Errorf("no answer after %s", q.wait))
	defer cancel()
	err := q.once(ctx, a)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return notYet{err}
	case err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

func (q *requester) once(ctx context.Context, a ask) error {
	if q.send != "" {
		return q.say(ctx)
	}
	form := url.Values{"version": {a.version}, "path": {a.path}, "sha256": {a.sha256}}
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+q.address+q.path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := q.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxQuoted))
		return fmt.Errorf("it answered %s: %q", resp.Status, body)
	}
	return nil
}

// say sends the text and looks at the first line of the answer.
func (q *requester) say(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", q.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, q.send); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxReply)).ReadString('\n')
	if q.expect.MatchString(line) {
		return nil
	}
	if err != nil && err != io.EOF {
		return err
	}
	return fmt.Errorf("it answered %q, which does not match %s", line[:min(len(line), maxQuoted)], q.expect)
}
