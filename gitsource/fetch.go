package gitsource

import (
	"context"
	"errors"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/client"
	"github.com/go-git/go-git/v5/storage/memory"
)

// errMoved says that the server no longer has a commit that it has just listed.
var errMoved = errors.New("the branch moved meanwhile")

// tip asks the server where the branch is; ErrNoBranch if there is none.
func (r *remote) tip(ctx context.Context) (plumbing.Hash, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	session, advertised, err := r.list(ctx)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer session.Close()
	chosen, err := r.choose(advertised)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return chosen.Hash(), nil
}

// fetch gets the branch's tip with its whole tree and nothing before it; a nil
// store if the tip is the one known.
func (r *remote) fetch(ctx context.Context, known plumbing.Hash) (plumbing.Hash, *memory.Storage, error) {
	return r.fetchLast(ctx, known, 1)
}

// fetchLast gets the branch's last commits, so many. A fresh store each time is
// what makes it right after a force-push or a rollback: go-git's incremental
// shallow fetches then miss objects and say nothing.
func (r *remote) fetchLast(ctx context.Context, known plumbing.Hash, commits int) (plumbing.Hash, *memory.Storage, error) {
	if known.String() == r.Commit {
		return known, nil, nil // which never is anything else
	}
	for {
		tip, store, err := r.exchange(ctx, known, commits)
		if !errors.Is(err, errMoved) || ctx.Err() != nil {
			return tip, store, err
		}
	}
}

// exchange lists and fetches in one session: go-git's Fetch would list again
// after whoever asked where the tip is.
func (r *remote) exchange(ctx context.Context, known plumbing.Hash, commits int) (plumbing.Hash, *memory.Storage, error) {
	limited, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	session, advertised, err := r.list(limited)
	if err != nil {
		return plumbing.ZeroHash, nil, err
	}
	defer session.Close()
	chosen, err := r.choose(advertised)
	if err != nil || chosen.Hash() == known {
		return known, nil, err
	}
	tip, store := chosen.Hash(), memory.NewStorage()
	if err := store.SetReference(chosen); err != nil {
		return tip, nil, err
	}
	if err := fetchFrom(limited, session, advertised, tip, commits, store); err != nil {
		return tip, nil, r.moved(ctx, tip, r.explain("fetch from", err))
	}
	return tip, store, nil
}

// list opens a session, which the caller closes, and reads the server's refs.
func (r *remote) list(ctx context.Context) (transport.UploadPackSession, *packp.AdvRefs, error) {
	git, endpoint, method, err := r.connect()
	if err != nil {
		return nil, nil, r.explain("connect to", err)
	}
	session, err := git.NewUploadPackSession(endpoint, method)
	if err != nil {
		return nil, nil, r.explain("connect to", err)
	}
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		session.Close()
		if errors.Is(err, transport.ErrEmptyRemoteRepository) {
			return nil, nil, r.noBranch()
		}
		return nil, nil, r.explain("list the branches of", err)
	}
	return session, advertised, nil
}

// connect reads the credentials anew, which may have been rotated.
func (r *remote) connect() (transport.Transport, *transport.Endpoint, transport.AuthMethod, error) {
	endpoint, err := transport.NewEndpoint(r.URL)
	if err != nil {
		return nil, nil, nil, err
	}
	if endpoint.Protocol == "ssh" {
		config, err := r.sshConfig(endpoint)
		return sshTransport{r.Auth, config}, endpoint, nil, err
	}
	method, ca, err := r.Auth.load()
	if err != nil {
		return nil, nil, nil, err
	}
	endpoint.CaBundle = ca
	git, err := client.NewClient(endpoint)
	return git, endpoint, method, err
}

// fetchFrom puts a commit, those before it up to a number, and their trees into a
// store.
func fetchFrom(ctx context.Context, session transport.UploadPackSession, advertised *packp.AdvRefs, commit plumbing.Hash, commits int, store *memory.Storage) error {
	request := packp.NewUploadPackRequestFromCapabilities(advertised.Capabilities)
	for _, c := range []capability.Capability{capability.Shallow, capability.NoProgress} {
		if advertised.Capabilities.Supports(c) {
			if err := request.Capabilities.Set(c); err != nil {
				return err
			}
		}
	}
	request.Wants, request.Depth = []plumbing.Hash{commit}, packp.DepthCommits(commits)
	response, err := session.UploadPack(ctx, request)
	if err != nil {
		return err
	}
	defer response.Close()
	return packfile.UpdateObjectStorage(store, demultiplexed(request.Capabilities, response))
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

// moved turns a failed fetch into errMoved if the branch is somewhere else now:
// servers refuse commits that are no tip in words of their own.
func (r *remote) moved(ctx context.Context, want plumbing.Hash, failure error) error {
	if now, err := r.tip(ctx); err == nil && now != want {
		return errMoved
	}
	return failure
}
