package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// maxRefs is how many refs are read of a server: a branch has one, versions have many.
const maxRefs = 1 << 20

// errOlder says that a server does not speak version 2 of Git's protocol.
var errOlder = errors.New("the server speaks an older version of Git's protocol")

var errSHA256 = errors.New("the repository names its objects by SHA-256, which cannot be read yet; it takes one of SHA-1")

// talk is one with a server that speaks version 2.
type talk interface {
	ask(ctx context.Context, request []byte) (io.ReadCloser, error)
	Close() error
}

// narrow is a session of version 2: the server is asked for the refs that matter
// here alone, so that it costs the same with ten refs as with 200,000.
type narrow struct {
	talk
	refs map[string]plumbing.Hash
}

// listNarrowly opens the session.
func listNarrowly(ctx context.Context, t talk, prefix string) (session, error) {
	answer, err := t.ask(ctx, request("ls-refs", "ref-prefix "+prefix))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	refs, err := readRefs(answer)
	return &narrow{t, refs}, err
}

func (n *narrow) listed() map[string]plumbing.Hash { return n.refs }

func (n *narrow) fetch(t *transfer, commit plumbing.Hash, commits int, store *objectStore) error {
	return n.fetchInto(t, commit, commits, nil, store)
}

// fetchInto is told what is there already.
func (n *narrow) fetchInto(t *transfer, commit plumbing.Hash, commits int, have []string, store *objectStore) error {
	arguments := append(have, "no-progress", "ofs-delta", "want "+commit.String(), fmt.Sprintf("deepen %d", commits), "done")
	answer, err := n.ask(t, request("fetch", arguments...))
	if err != nil {
		return err
	}
	defer answer.Close()
	coming := t.watch(answer)
	if err := skipTo("packfile", coming); err != nil {
		return err
	}
	return unpack(t, sideband.NewDemuxer(sideband.Sideband64k, coming), store)
}

// readGreeting reads what a server can do, after it has said its version.
func readGreeting(r io.Reader) error {
	canList, canFetch := false, false
	for {
		kind, said, err := readLine(r)
		if err != nil {
			return err
		}
		if kind != text {
			break
		}
		name, value, _ := strings.Cut(string(said), "=")
		switch name {
		case "ls-refs":
			canList = true
		case "fetch":
			canFetch = strings.Contains(" "+value+" ", " shallow ")
		case "object-format":
			if value != "sha1" {
				return errSHA256
			}
		}
	}
	if !canList || !canFetch {
		return errOlder
	}
	return nil
}

// readRefs reads the answer to ls-refs.
func readRefs(r io.Reader) (map[string]plumbing.Hash, error) {
	refs := map[string]plumbing.Hash{}
	for len(refs) < maxRefs {
		kind, said, err := readLine(r)
		switch {
		case err != nil:
			return nil, err
		case kind == flush:
			return refs, nil
		}
		hash, rest, _ := strings.Cut(string(said), " ")
		name, _, _ := strings.Cut(rest, " ")
		if kind != text || !plumbing.IsHash(hash) || name == "" {
			return nil, fmt.Errorf("the server lists a ref as %q", words(string(said)))
		}
		refs[name] = plumbing.NewHash(hash)
	}
	return nil, fmt.Errorf("the server lists more than %d refs", maxRefs)
}

// skipTo reads an answer up to a section.
func skipTo(section string, r io.Reader) error {
	begins := true
	for {
		kind, said, err := readLine(r)
		switch {
		case err != nil:
			return err
		case kind == flush:
			return fmt.Errorf("the server's answer has no %s", section)
		case begins && bytes.Equal(said, []byte(section)):
			return nil
		}
		begins = kind == delimiter
	}
}
