package gitsource

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

// sshTransport takes the place of go-git's own, which shakes hands without a
// context: a server that accepts and stays silent would hold it for ever.
type sshTransport struct {
	auth   Auth // for words
	config *ssh.ClientConfig
}

func (t sshTransport) NewUploadPackSession(e *transport.Endpoint, _ transport.AuthMethod) (transport.UploadPackSession, error) {
	return &sshSession{sshTransport: t, endpoint: e, service: transport.UploadPackServiceName}, nil
}

func (t sshTransport) NewReceivePackSession(e *transport.Endpoint, _ transport.AuthMethod) (transport.ReceivePackSession, error) {
	return &sshSession{sshTransport: t, endpoint: e, service: transport.ReceivePackServiceName}, nil
}

// sshSession is one command on the server. It connects when the refs are asked
// for; the end of that call's context ends whatever is under way.
type sshSession struct {
	sshTransport
	endpoint *transport.Endpoint
	service  string

	ctx     context.Context
	hangUp  func()
	command *ssh.Session
	in      io.WriteCloser
	out     *bufio.Reader
	said    complaints
	gone    sync.Once // waited for: a second time would be for ever
	asked   bool      // for more than the refs
}

func (s *sshSession) AdvertisedReferences() (*packp.AdvRefs, error) {
	return s.AdvertisedReferencesContext(context.Background())
}

func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s.advertised()
}

// begin connects and starts the command.
func (s *sshSession) begin(ctx context.Context) error {
	s.ctx, s.hangUp = ctx, func() {}
	return s.why(s.open())
}

func (s *sshSession) advertised() (*packp.AdvRefs, error) {
	refs := packp.NewAdvRefs()
	if err := refs.Decode(s.out); err != nil && !errors.Is(err, packp.ErrEmptyAdvRefs) {
		return nil, s.why(err)
	}
	transport.FilterUnsupportedCapabilities(refs.Capabilities)
	return refs, nil
}

// open connects, shakes hands and starts the command.
func (s *sshSession) open() error {
	address := sshAddress(s.endpoint)
	conn, err := dialSSH(s.ctx, address)
	if err != nil {
		return err
	}
	s.hangUpWith(conn)
	connection, channels, requests, err := ssh.NewClientConn(conn, address, s.config)
	if err != nil {
		return explainSSH(err, s.endpoint, s.auth)
	}
	if s.command, err = ssh.NewClient(connection, channels, requests).NewSession(); err != nil {
		return err
	}
	return s.start()
}

// hangUpWith closes the connection with the session, or when the context ends.
func (s *sshSession) hangUpWith(conn net.Conn) {
	stop := context.AfterFunc(s.ctx, func() { conn.Close() })
	s.hangUp = func() { stop(); conn.Close() }
}

func (s *sshSession) start() (err error) {
	s.command.Stderr = &s.said
	if s.in, err = s.command.StdinPipe(); err != nil {
		return err
	}
	out, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	s.out = bufio.NewReader(out)
	if s.service == transport.UploadPackServiceName {
		s.wishVersion2()
	}
	return s.command.Start(s.service + " " + quoted(s.endpoint.Path))
}

// quoted is a path for the server's shell, as git itself quotes it.
func quoted(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

func (s *sshSession) UploadPack(_ context.Context, request *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	s.asked = true
	if err := s.ask(request); err != nil {
		return nil, s.why(err)
	}
	response := packp.NewUploadPackResponse(request)
	return response, s.why(response.Decode(io.NopCloser(explained{s})))
}

func (s *sshSession) ask(request *packp.UploadPackRequest) error {
	if err := request.Validate(); err != nil {
		return err
	}
	if err := request.UploadRequest.Encode(s.in); err != nil {
		return err
	}
	if err := request.UploadHaves.Encode(s.in, true); err != nil {
		return err
	}
	if err := pktline.NewEncoder(s.in).EncodeString("done\n"); err != nil {
		return err
	}
	return s.askedAll()
}

// askedAll says that no more is asked. A server that has answered in the meantime has
// hung up, so that nobody can be told: what it answered is there.
func (s *sshSession) askedAll() error {
	err := s.in.Close()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (s *sshSession) ReceivePack(_ context.Context, request *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	s.asked = true
	if err := request.Encode(s.in); err != nil {
		return nil, s.why(err)
	}
	if err := s.askedAll(); err != nil {
		return nil, s.why(err)
	}
	if !request.Capabilities.Supports(capability.ReportStatus) {
		return nil, s.why(s.command.Wait())
	}
	answer := io.Reader(explained{s})
	if request.Capabilities.Supports(capability.Sideband64k) {
		words := sideband.NewDemuxer(sideband.Sideband64k, answer)
		words.Progress, answer = request.Progress, words
	}
	report := packp.NewReportStatus()
	return report, s.why(report.Decode(answer))
}

// Close hangs up, politely if the server still waits for a request.
func (s *sshSession) Close() error {
	if s.in != nil && !s.asked && s.ctx.Err() == nil {
		_, _ = io.WriteString(s.in, "0000") // it may have gone already
	}
	if s.hangUp != nil {
		s.hangUp()
	}
	return nil
}

// why is the reason behind an error: the context, or what the command said before
// it went.
func (s *sshSession) why(err error) error {
	if err == nil {
		return nil
	}
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, packp.ErrEmptyInput)
	if s.command != nil && ended {
		s.gone.Do(func() { _ = s.command.Wait() }) // what it said is whole then
		if said := s.said.kept.String(); said != "" && s.ctx.Err() == nil {
			return fmt.Errorf("%w: the server says: %s", err, said)
		}
	}
	return s.late(err)
}

// late puts the end of the context before what it led to.
func (s *sshSession) late(err error) error {
	if s.ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(s.ctx), err)
}

// explained is what the server answers.
type explained struct{ *sshSession }

func (e explained) Read(p []byte) (int, error) {
	n, err := e.out.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = e.late(err)
	}
	return n, err
}

// complaints are the beginning of what a command writes to its standard error. The
// buffer is not embedded: whoever copies to one goes past our Write.
type complaints struct{ kept bytes.Buffer }

func (c *complaints) Write(p []byte) (int, error) {
	if room := 4*maxWords - c.kept.Len(); room > 0 {
		c.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
