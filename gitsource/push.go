package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
)

// lostRaceError says that the branch was no longer where the commit started; in
// the server's words, if it has any.
type lostRaceError struct {
	from  plumbing.Hash
	words string
}

func (e *lostRaceError) Error() string { return "someone else pushed first: " + e.words }

// RefusedError says that the server will not have a commit: a hook or a
// protected branch. Trying again would not help.
type RefusedError struct {
	Branch string
	// Words of the server.
	Words string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the Git server refuses commits to %s: %s", e.Branch, e.Words)
}

// push sends a commit as "this branch from base to next". The server checks the
// "from" under its own lock, which no option of go-git's Push can be made to
// mean when the source is a bare commit.
func (w *Writer) push(ctx context.Context, next *base, objects []plumbing.Hash) error {
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	session, err := w.receivePack(ctx)
	if err != nil {
		return err
	}
	defer session.Close()
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		advertised, err = packp.NewAdvRefs(), nil
	}
	if err != nil {
		return w.explain("push to", err)
	}
	if now := advertised.References[w.name.String()]; now != w.base.hash {
		return &lostRaceError{w.base.hash, "it is at " + now.String()}
	}
	var words bytes.Buffer
	request, err := w.request(advertised, next, objects, &words)
	if err != nil {
		return err
	}
	report, err := session.ReceivePack(ctx, request)
	if report != nil && err == nil {
		err = report.Error()
	}
	return w.judge(err, words.String())
}

func (w *Writer) receivePack(ctx context.Context) (transport.ReceivePackSession, error) {
	git, endpoint, method, err := w.connect(ctx)
	if err != nil {
		return nil, w.explain("push to", err)
	}
	session, err := git.NewReceivePackSession(endpoint, method)
	if err != nil {
		return nil, w.explain("push to", err)
	}
	return session, nil
}

// connect reads the credentials anew, which may have been rotated.
func (w *Writer) connect(ctx context.Context) (transport.Transport, *transport.Endpoint, transport.AuthMethod, error) {
	endpoint, err := transport.NewEndpoint(w.URL)
	if err != nil {
		return nil, nil, nil, err
	}
	switch endpoint.Protocol {
	case "ssh":
		config, err := w.sshConfig(endpoint)
		return sshTransport{w.Auth, config}, endpoint, nil, err
	case "file":
		return file.DefaultClient, endpoint, nil, nil
	}
	t, err := w.newWebTalk(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	return t.older(), endpoint, t.method(), nil
}

// request leaves "atomic" out on purpose: with it servers hide their reason.
func (w *Writer) request(advertised *packp.AdvRefs, next *base, objects []plumbing.Hash, words io.Writer) (*packp.ReferenceUpdateRequest, error) {
	pack, err := packed(next.store, objects)
	if err != nil {
		return nil, fmt.Errorf("pack the commit: %w", err)
	}
	request := packp.NewReferenceUpdateRequestFromCapabilities(advertised.Capabilities)
	if advertised.Capabilities.Supports(capability.Sideband64k) {
		if err := request.Capabilities.Set(capability.Sideband64k); err != nil {
			return nil, err
		}
		request.Progress = words
	}
	request.Commands = []*packp.Command{{Name: w.name, Old: w.base.hash, New: next.hash}}
	request.Packfile = io.NopCloser(pack)
	return request, nil
}

// judge tells a lost race from a refusal and from a failure. Servers say it in
// words only, and why apart from what.
func (w *Writer) judge(err error, said string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, lost := range []string{"failed to update ref", "fetch first", "non-fast-forward", "already exists", "cannot lock ref", "incorrect old value", "reference is not at"} {
		if strings.Contains(text, lost) {
			return &lostRaceError{w.base.hash, words(strings.TrimSpace(text + " " + said))}
		}
	}
	for _, refused := range []string{"declined", "protected", "denied", "prohibited", "hook"} {
		if strings.Contains(text, refused) {
			return &RefusedError{Branch: w.Branch, Words: words(strings.TrimSpace(text + " " + said))}
		}
	}
	if said = words(said); said != "" {
		err = fmt.Errorf("%w; the server says: %s", err, said)
	}
	return w.explain("push to", err)
}
