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

// verify returns an *UnverifiedError if what a snapshot was come to by, a commit or a
// tag, is not signed by one of the signers, who are read anew.
func (s *Source) verify(snapshot *Snapshot) error {
	if s.SignersFile == "" {
		return nil
	}
	signers, err := readSigners(s.SignersFile)
	if err != nil {
		return err
	}
	judge := signers.judgeCommit
	if s.Tag != "" {
		judge = signers.judgeTag
	}
	if err := judge(snapshot); err != nil {
		return &UnverifiedError{snapshot.Commit, snapshot.Subject, snapshot.Author, err.Error()}
	}
	return nil
}

// judgeCommit goes by the committer's time, as git does: the author's is that of the
// work, which who amends or rebases it keeps.
func (s signers) judgeCommit(of *Snapshot) error {
	hash := plumbing.NewHash(of.Commit)
	commit, err := object.GetCommit(of.store, hash)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	raw, err := readRaw(of.store, plumbing.CommitObject, hash)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	signed, signature := cutSignature(raw)
	return s.judge(signed, signature, commit.Committer.When)
}

// judgeTag: where tags are followed it is the tag that must be signed. Whoever could
// move one would otherwise choose among all commits that were ever signed; and its
// name is part of what is signed, lest an old one come again as a new version.
func (s signers) judgeTag(of *Snapshot) error {
	tag, err := object.GetTag(of.store, of.tip)
	if err != nil {
		return fmt.Errorf("has a tag without a signature: only what is signed by those in %s counts, and git tag -s makes such", s.file)
	}
	if ref, err := of.store.Reference(plumbing.NewTagReferenceName(tag.Name)); err != nil || ref.Hash() != of.tip {
		return fmt.Errorf("has a tag that was made as %s, and has another name now", tag.Name)
	}
	raw, err := readRaw(of.store, plumbing.TagObject, of.tip)
	if err != nil {
		return fmt.Errorf("has a tag that cannot be read: %w", err)
	}
	signed, signature := raw, []byte(nil)
	if at := bytes.LastIndex(raw, []byte("\n-----BEGIN ")); at >= 0 {
		signed, signature = raw[:at+1], raw[at+1:]
	}
	return s.judge(signed, signature, tag.Tagger.When)
}

func readRaw(store *objectStore, kind plumbing.ObjectType, hash plumbing.Hash) ([]byte, error) {
	encoded, err := store.EncodedObject(kind, hash)
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
