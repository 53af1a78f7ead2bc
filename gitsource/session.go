package gitsource

import (
	"context"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
)

// session is one with a server, which has said where its refs are.
type session interface {
	listed() map[string]plumbing.Hash
	// fetch puts a commit, those before it up to a number, and their trees into a
	// store.
	fetch(t *transfer, commit plumbing.Hash, commits int, store *objectStore) error
	Close() error
}

// open asks where the refs are that matter, by version 2 of Git's protocol if the
// server speaks that. The caller closes the session.
func (r *remote) open(ctx context.Context) (session, error) {
	endpoint, err := transport.NewEndpoint(r.URL)
	if err != nil {
		return nil, r.explain("connect to", err)
	}
	var s session
	switch endpoint.Protocol {
	case "ssh":
		s, err = r.openSSH(ctx, endpoint)
	case "file":
		s, err = openOlder(ctx, file.DefaultClient, endpoint, nil)
	default:
		s, err = r.openHTTP(ctx, endpoint)
	}
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, r.noBranch()
	}
	if err != nil {
		return nil, r.explain("list the branches of", because(ctx, err))
	}
	return s, nil
}

// older is a session of go-git's, where a server tells all its refs unasked.
type older struct {
	transport.UploadPackSession
	advertised *packp.AdvRefs
}

func openOlder(ctx context.Context, git transport.Transport, endpoint *transport.Endpoint, method transport.AuthMethod) (session, error) {
	s, err := git.NewUploadPackSession(endpoint, method)
	if err != nil {
		return nil, err
	}
	advertised, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		s.Close()
		return nil, err
	}
	return &older{s, advertised}, nil
}

func (o *older) listed() map[string]plumbing.Hash { return o.advertised.References }

func (o *older) fetch(t *transfer, commit plumbing.Hash, commits int, store *objectStore) error {
	request := packp.NewUploadPackRequestFromCapabilities(o.advertised.Capabilities)
	for _, c := range []capability.Capability{capability.Shallow, capability.NoProgress} {
		if o.advertised.Capabilities.Supports(c) {
			if err := request.Capabilities.Set(c); err != nil {
				return err
			}
		}
	}
	request.Wants, request.Depth = []plumbing.Hash{commit}, packp.DepthCommits(commits)
	response, err := o.UploadPack(t, request)
	if err != nil {
		return err
	}
	defer response.Close()
	return unpack(t, demultiplexed(request.Capabilities, t.watch(response)), store)
}

// demultiplexed is the pack out of an answer that carries words as well.
func demultiplexed(capabilities *capability.List, answer io.Reader) io.Reader {
	switch {
	case capabilities.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, answer)
	case capabilities.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, answer)
	}
	return answer
}
