package sidecar

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/internal/atomicfile"
	"hotpatch.dev/hotpatch/sidecar/archive"
)

const (
	// treePrefix names the directory of an archive's content. The link in its
	// place names it, so that all of its files switch with one rename.
	treePrefix = reserved + "-tree-"
	// halfTree names one that is not complete.
	halfTree = reserved + "-half-tree-"
)

var treePattern = regexp.MustCompile(`^\.hotpatch-tree-([0-9a-f]{64})-[0-9A-Z]+$`)

// treeDigest is of the archive that a link's target was made from, "" if it is
// none of ours.
func treeDigest(target string) string {
	if m := treePattern.FindStringSubmatch(target); m != nil {
		return m[1]
	}
	return ""
}

// tree is the target of the link at name, "" if there is no tree of ours.
func (s *share) tree(name string) string {
	target, err := s.root.Readlink(name)
	if err != nil || treeDigest(target) == "" {
		return ""
	}
	if info, err := s.root.Lstat(path.Join(path.Dir(name), target)); err != nil || !info.IsDir() {
		return ""
	}
	return target
}

// replaceTree is replace for an archive: what it holds becomes the directory
// name, which is a link from then on.
func (s *share) replaceTree(ctx context.Context, name string, limit int64, get fetch, ready func(digest string) error) error {
	if err := s.roomForTree(name); err != nil {
		return replaceFailed(err)
	}
	half := path.Join(path.Dir(name), halfTree+rand.Text())
	defer s.root.RemoveAll(half)
	digest, err := s.unpack(ctx, half, limit, get)
	if err != nil {
		return err
	}
	if err := ready(digest); err != nil {
		return replaceFailed(err)
	}
	target := treePrefix + digest + "-" + rand.Text()
	if err := s.root.Rename(half, path.Join(path.Dir(name), target)); err != nil {
		return replaceFailed(err)
	}
	before := s.tree(name)
	if err := s.point(name, target); err != nil {
		return replaceFailed(err)
	}
	s.clear(path.Dir(name), before)
	return nil
}

// roomForTree refuses to put a link where something else stands that is not one.
func (s *share) roomForTree(name string) error {
	if err := atomicfile.Parents(s.root, name); err != nil {
		return err
	}
	info, err := s.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSymlink:
		return fmt.Errorf("%s is there and was not made from an archive; it is left alone", name)
	}
	return nil
}

// unpack makes the directory half of what get fetches.
func (s *share) unpack(ctx context.Context, half string, limit int64, get fetch) (digest string, err error) {
	if err := s.root.Mkdir(half, 0o755); err != nil {
		return "", replaceFailed(err)
	}
	into, err := s.root.OpenRoot(half)
	if err != nil {
		return "", replaceFailed(err)
	}
	defer into.Close()
	packed, err := into.OpenFile(bookName, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return "", replaceFailed(err)
	}
	defer packed.Close()
	if err := into.Remove(bookName); err != nil { // it is read by its descriptor
		return "", replaceFailed(err)
	}
	if digest, err = get(ctx, packed); err != nil {
		return "", downloadFailed(err)
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return "", replaceFailed(err)
	}
	if err := (archive.Extractor{Bytes: limit, Check: checkPath}).Extract(ctx, packed, into); err != nil {
		return "", downloadFailed(err)
	}
	return digest, nil
}

// point makes name a link to target, at once for every reader.
func (s *share) point(name, target string) error {
	link := path.Join(path.Dir(name), halfTree+rand.Text())
	if err := s.root.Symlink(target, link); err != nil {
		return err
	}
	if err := s.root.Rename(link, name); err != nil {
		s.root.Remove(link)
		return err
	}
	dir, err := s.root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// clear removes the trees of a directory that no link names, but for one, which
// readers may be about to enter.
func (s *share) clear(dir, but string) {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	if err != nil {
		return // the next time
	}
	used := []string{but}
	for _, e := range entries {
		used = append(used, s.tree(path.Join(dir, e.Name())))
	}
	for _, e := range entries {
		if treeDigest(e.Name()) != "" && !slices.Contains(used, e.Name()) {
			s.root.RemoveAll(path.Join(dir, e.Name()))
		}
	}
}

// sweepTrees removes what an earlier life left unfinished or unused.
func (s *share) sweepTrees() {
	var dirs []string
	fs.WalkDir(s.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fs.SkipDir
		case strings.HasPrefix(e.Name(), halfTree):
			s.root.RemoveAll(name)
		case e.IsDir() && treeDigest(e.Name()) == "":
			dirs = append(dirs, name)
			return nil
		}
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	for _, dir := range dirs {
		s.clear(dir, "")
	}
}
