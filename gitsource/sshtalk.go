package gitsource

import (
	"context"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

// version2 is how a server begins that speaks it.
const version2 = "000eversion 2\n"

// openSSH starts git-upload-pack. A server whose sshd does not hand on which version
// is wished tells all its refs at once.
func (r *remote) openSSH(ctx context.Context, e *transport.Endpoint) (session, error) {
	config, err := r.sshConfig(e)
	if err != nil {
		return nil, err
	}
	s := &sshSession{sshTransport: sshTransport{r.Auth, config}, endpoint: e, service: transport.UploadPackServiceName}
	opened, err := s.converse(ctx, r.prefix())
	if err != nil {
		s.Close()
	}
	return opened, err
}

// converse has the server list refs, in the version that it answers in.
func (s *sshSession) converse(ctx context.Context, prefix string) (session, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	begins, err := s.out.Peek(len(version2))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, s.why(err)
	}
	if string(begins) != version2 {
		refs, err := s.advertised()
		if err == nil && refs.IsEmpty() {
			err = transport.ErrEmptyRemoteRepository
		}
		return &older{s, refs}, err
	}
	if _, err := s.out.Discard(len(version2)); err != nil {
		return nil, s.why(err)
	}
	if err := readGreeting(s.out); err != nil {
		return nil, s.why(err)
	}
	opened, err := listNarrowly(ctx, sshTalk{s}, prefix)
	return opened, s.why(err)
}

// wishVersion2 asks for no answer: most servers ignore what they do not know, and a
// poll would wait for it.
func (s *sshSession) wishVersion2() {
	wish := struct{ Name, Value string }{"GIT_PROTOCOL", "version=2"}
	_, _ = s.command.SendRequest("env", false, ssh.Marshal(wish))
}

// sshTalk asks on a command's standard input.
type sshTalk struct{ *sshSession }

func (t sshTalk) ask(_ context.Context, request []byte) (io.ReadCloser, error) {
	if _, err := t.in.Write(request); err != nil {
		return nil, t.why(err)
	}
	return io.NopCloser(explained(t)), nil
}
