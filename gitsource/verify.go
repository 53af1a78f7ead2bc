package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// UnverifiedError says that a commit is not signed by one of those who may, and so
// stands for nothing.
type UnverifiedError struct {
	Commit, Subject, Author string
	Reason                  string
}

func (e *UnverifiedError) Error() string {
	return fmt.Sprintf("commit %.10s (%q by %s) %s", e.Commit, e.Subject, e.Author, e.Reason)
}

// verify returns an *UnverifiedError if a commit is not signed by one of the
// signers in a file, which is read anew.
func verify(store *memory.Storage, hash plumbing.Hash, file string) error {
	raw, err := rawCommit(store, hash)
	if err != nil {
		return fmt.Errorf("read commit %s: %w", hash, err)
	}
	commit, err := object.GetCommit(store, hash)
	if err != nil {
		return fmt.Errorf("read commit %s: %w", hash, err)
	}
	signers, err := readSigners(file)
	if err != nil {
		return err
	}
	signed, signature := cutSignature(raw)
	if err := signers.judge(signed, signature, commit.Committer.When); err != nil {
		subject, author, _ := describe(commit)
		return &UnverifiedError{hash.String(), subject, author, err.Error()}
	}
	return nil
}

func rawCommit(store *memory.Storage, hash plumbing.Hash) ([]byte, error) {
	encoded, err := store.EncodedObject(plumbing.CommitObject, hash)
	if err != nil {
		return nil, err
	}
	r, err := encoded.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// cutSignature divides a commit as it is stored into what was signed, which is all
// but the signature's header, and the signature; nil if there is none. Not by
// writing the parsed commit again: what the parser does not know would be gone.
func cutSignature(raw []byte) (signed, signature []byte) {
	head, body, _ := bytes.Cut(raw, []byte("\n\n"))
	in := "" // the header that a line which begins with a space goes on with
	for line := range bytes.Lines(append(bytes.Clone(head), '\n')) {
		more, goesOn := bytes.CutPrefix(line, []byte(" "))
		if !goesOn {
			name, value, _ := bytes.Cut(line, []byte(" "))
			in, more = string(name), value
		}
		switch in {
		case "gpgsig":
			signature = append(signature, more...)
		case "gpgsig-sha256": // of the same commit in the other format
		default:
			signed = append(signed, line...)
		}
	}
	return append(append(signed, '\n'), body...), signature
}

// judge says why a signature does not count, which was made at a time.
func (s signers) judge(signed, signature []byte, at time.Time) error {
	switch {
	case len(signature) == 0:
		return fmt.Errorf("is not signed, and only what is signed by those in %s counts", s.file)
	case bytes.HasPrefix(signature, []byte("-----BEGIN SSH SIGNATURE-----")):
		return s.judgeSSH(signed, signature, at)
	case bytes.HasPrefix(signature, []byte("-----BEGIN PGP SIGNATURE-----")):
		return s.judgePGP(signed, signature)
	}
	kind, _, _ := strings.Cut(string(signature), "\n")
	return fmt.Errorf("has a signature of a kind that is not known here: %.40q", kind)
}

var errForged = errors.New("has a signature that is not of its content: it was changed after it was signed")
