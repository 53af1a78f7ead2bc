package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// maxWords is how much of a server's own words an error repeats.
const maxWords = 300

// explain puts what went wrong with a server into words: what was done, with
// which repository, and what to do where we know.
func (r *remote) explain(what string, err error) error {
	err = bare(err)
	hint := ""
	var answer *answerError
	switch {
	case errors.As(err, &answer):
		hint = answer.hint()
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		hint = "; check the credential files"
	case errors.Is(err, transport.ErrRepositoryNotFound):
		hint = "; check the URL, and whether the credentials may see the repository"
	case errors.Is(err, errEndless):
		hint = fmt.Sprintf("; it took longer than %s in all", r.longest)
	case errors.Is(err, context.DeadlineExceeded):
		hint = fmt.Sprintf("; the server did not answer within %s", r.Timeout)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		hint = "; the server ended the answer before it was whole; it is asked again"
	case strings.Contains(err.Error(), "remote error: tls:") && strings.Contains(err.Error(), "certificate"):
		hint = "; the server wants another client certificate: check --git-client-cert-file and --git-client-key-file"
	case strings.Contains(err.Error(), "x509:"):
		hint = "; check the URL's host, and the authorities in --git-ca-file"
	case errors.Is(err, errProxy), strings.Contains(err.Error(), "proxyconnect"):
		hint = "; check the proxy in HTTPS_PROXY"
	case r.Commit != "" && strings.Contains(err.Error(), "not our ref"):
		hint = "; it has no such commit, or hands out tips alone: uploadpack.allowReachableSHA1InWant changes that"
	case errors.Is(err, exec.ErrNotFound):
		hint = "; file:// needs git's own program in PATH, which the reconciler's image does not have: use https:// or ssh:// there"
	case strings.Contains(err.Error(), "invalid pkt-len"):
		hint = "; what answers there is not a Git server"
	}
	return fmt.Errorf("%s %s: %w%s", what, r.URL, shorten(err), hint)
}

// bare is an error without the address that libraries put before it.
func bare(err error) error {
	var unexpected *plumbing.UnexpectedError // which does not unwrap
	if errors.As(err, &unexpected) {
		return bare(unexpected.Err)
	}
	if at, ok := err.(*url.Error); ok {
		return bare(at.Err)
	}
	return err
}

// shortened keeps errors.Is working on an error whose text was cut.
type shortened struct {
	text string
	err  error
}

func (s *shortened) Error() string { return s.text }
func (s *shortened) Unwrap() error { return s.err }

// shorten cuts an error's text to one readable line: go-git repeats whole pages
// that a server sends.
func shorten(err error) error {
	return &shortened{text: words(err.Error()), err: err}
}

func words(text string) string {
	printable := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, text)
	line := strings.Join(strings.Fields(printable), " ")
	if len(line) > maxWords {
		line = line[:maxWords] + "…"
	}
	return line
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
