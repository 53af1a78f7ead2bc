package sidecar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"hotpatch.dev/hotpatch/internal/atomicfile"
	"hotpatch.dev/hotpatch/internal/logging"
)

// share is the directory that the sidecar and the main container have in
// common. Nothing outside it is ever touched.
type share struct{ root *os.Root }

// openShare opens the directory, making it if it is not there, and clears away
// what an earlier life left unfinished.
func openShare(ctx context.Context, dir string) (*share, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the directory of the files: %w", err)
	}
	if err := atomicfile.Sweep(root); err != nil {
		logging.From(ctx).WithError(err).Warning("unfinished files of an earlier life stay in the directory")
	}
	s := &share{root}
	s.sweepTrees()
	return s, nil
}

// digest is the SHA-256 of a file as it is on disk, "" if there is no file. Of
// what was made from an archive it is the archive's.
func (s *share) digest(name string) (string, error) {
	if tree := s.tree(name); tree != "" {
		return treeDigest(tree), nil
	}
	info, err := s.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	f, err := s.root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// has tells whether the very content asked for is in place, by digest read off
// the disk.
func (s *share) has(a ask) bool {
	if a.sha256 == "" {
		return false
	}
	have, err := s.digest(a.path)
	return err == nil && have == a.sha256 && a.extract == (s.tree(a.path) != "")
}

// fetch is how content comes: it writes it and returns its digest.
type fetch func(ctx context.Context, into io.Writer) (digest string, err error)

// replace puts what get fetches in the file's place. Ready is called with the
// digest when everything is on disk but nothing is visible yet; if it fails,
// nothing happens.
func (s *share) replace(ctx context.Context, name string, get fetch, ready func(digest string) error) error {
	f, err := atomicfile.Create(s.root, name)
	if err != nil {
		return replaceFailed(err)
	}
	defer f.Abort()
	digest, err := get(ctx, f)
	if err != nil {
		return downloadFailed(err)
	}
	if err := ready(digest); err != nil {
		return replaceFailed(err)
	}
	if err := f.Commit(); err != nil {
		return replaceFailed(err)
	}
	return nil
}

// The steps that can fail, named as in the existing sidecar's one message.
func downloadFailed(err error) error { return fmt.Errorf("failed to download file: %w", err) }
func replaceFailed(err error) error  { return fmt.Errorf("failed to replace file: %w", err) }
func storeFailed(err error) error    { return fmt.Errorf("failed to store result: %w", err) }
