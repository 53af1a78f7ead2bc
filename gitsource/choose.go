package gitsource

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"
)

const tagPrefix = "refs/tags/"

// checkChoice refuses a tag's pattern or a commit that can never be found.
func (o Options) checkChoice() error {
	if o.Tag != "" && o.Commit != "" {
		return errors.New("give a tag's pattern or a commit, not both")
	}
	if o.Commit != "" && !plumbing.IsHash(o.Commit) {
		return fmt.Errorf("commit %q: want its whole hash, 40 digits in hex", o.Commit)
	}
	if _, err := semver.NewConstraint(o.Tag); o.Tag != "" && err != nil {
		return fmt.Errorf("tag pattern %q: want versions such as v1.*, ~1.4 or >=1.2 <2: %w", o.Tag, err)
	}
	return nil
}

// choose is what to read: the tag with the newest version that fits, a commit that
// was named, or the branch.
func (r *remote) choose(refs map[string]plumbing.Hash) (*plumbing.Reference, error) {
	name := r.name
	switch {
	case r.Commit != "":
		return plumbing.NewHashReference(plumbing.HEAD, plumbing.NewHash(r.Commit)), nil
	case r.Tag != "":
		tag, err := r.newestTag(refs)
		if err != nil {
			return nil, err
		}
		name = tag
	}
	if hash, ok := refs[name.String()]; ok {
		return plumbing.NewHashReference(name, hash), nil
	}
	return nil, r.noBranch()
}

// prefix is what the refs that matter begin with.
func (r *remote) prefix() string {
	switch {
	case r.Commit != "":
		return plumbing.HEAD.String()
	case r.Tag != "":
		return tagPrefix
	}
	return r.name.String()
}

// newestTag is the tag with the highest version that fits. Of those that mean the
// same version (v1.2 and v1.2.0) it is the last by name.
func (r *remote) newestTag(refs map[string]plumbing.Hash) (plumbing.ReferenceName, error) {
	fits, err := semver.NewConstraint(r.Tag)
	if err != nil {
		return "", err
	}
	var newest *semver.Version
	name := ""
	for ref := range refs {
		tag, isTag := strings.CutPrefix(ref, tagPrefix)
		version, err := semver.NewVersion(tag)
		if !isTag || err != nil || !fits.Check(version) {
			continue
		}
		if newest == nil || cmp.Or(version.Compare(newest), cmp.Compare(ref, name)) > 0 {
			newest, name = version, ref
		}
	}
	if newest == nil {
		return "", fmt.Errorf("none of the tags in %s fits %s", r.URL, r.Tag)
	}
	return plumbing.ReferenceName(name), nil
}

func (r *remote) noBranch() error {
	return fmt.Errorf("%w: %s in %s", ErrNoBranch, r.Branch, r.URL)
}
