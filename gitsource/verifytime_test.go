package gitsource

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// dated has git give what it makes these times.
func dated(t *testing.T, author, committer string) {
	t.Helper()
	t.Setenv("GIT_AUTHOR_DATE", author)
	t.Setenv("GIT_COMMITTER_DATE", committer)
}

// gitVerifies is what git itself says of a signature of the server's repository.
func gitVerifies(t *testing.T, repo *gittest.Repo, signers, verify, what string) bool {
	t.Helper()
	cmd := exec.Command("git", "-c", "gpg.ssh.allowedSignersFile="+signers, verify, what)
	cmd.Dir = repo.Bare
	out, err := cmd.CombinedOutput()
	t.Logf("git %s: %v: %s", verify, err, out)
	return err == nil
}

// The author's time is that of the work, which an amended or rebased commit keeps
// from before: whoever signs writes the committer's. So it is with git.
func TestSignersTimesAreThoseOfCommitters(t *testing.T) {
	needVerifiers(t)
	const early, late = "2024-06-01T12:00:00Z", "2026-06-01T12:00:00Z"
	for name, c := range map[string]struct {
		options, author, committer string
		want                       bool
	}{
		"new key, old work":         {`valid-after="20250101Z" `, early, late, true},
		"new key, old signature":    {`valid-after="20250101Z" `, late, early, false},
		"old key, old signature":    {`valid-before="20250101Z" `, late, early, true},
		"old key, old work":         {`valid-before="20250101Z" `, early, late, false},
		"a key's first second":      {`valid-after="20260601120000Z" `, early, late, true},
		"a key's last second":       {`valid-before="20260601120000Z" `, early, late, true},
		"a key's last second, over": {`valid-before="20260601115959Z" `, early, late, false},
	} {
		t.Run(name, func(t *testing.T) {
			dated(t, c.author, c.committer)
			repo, ann := gittest.NewRepo(t), newKey(t)
			s := signedSource(t, repo, allowed(t, c.options, ann))
			commitSigned(t, repo, ann, "release v1")
			_, err := s.Newer(t.Context(), "")
			if git := gitVerifies(t, repo, s.SignersFile, "verify-commit", "main"); (err == nil) != c.want || git != c.want {
				t.Errorf("a commit: got %v, git %t, want %t", err, git, c.want)
			}

			// The tag is dated by who made it, whatever the commit is.
			dated(t, c.author, c.author)
			repo.Commit(map[string]string{"a": "1"}, "release v2")
			dated(t, c.author, c.committer)
			s.Tag = "v2.*"
			repo.Git("-c", "gpg.format=ssh", "-c", "user.signingKey="+private(t, gittest.PrivateKey(t, ann, "")), "tag", "-s", "-m", "v2", "v2.0.0")
			repo.Git("push", "-q", "origin", "refs/tags/v2.0.0")
			_, err = s.Newer(t.Context(), "")
			if git := gitVerifies(t, repo, s.SignersFile, "verify-tag", "v2.0.0"); (err == nil) != c.want || git != c.want {
				t.Errorf("a tag: got %v, git %t, want %t", err, git, c.want)
			}
		})
	}
}

// An OpenPGP key that has expired signs nothing any more, whatever time stands in the
// commit: whoever has such a key could write an old one. So it is with gpg.
func TestExpiredOpenPGPKeysDoNotCount(t *testing.T) {
	needVerifiers(t)
	made := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	dated(t, "2024-01-02T00:00:00Z", "2024-01-02T00:00:00Z")
	for lifetime, want := range map[time.Duration]bool{24 * time.Hour * 365 * 80: true, 24 * time.Hour * 365: false} {
		repo := gittest.NewRepo(t)
		then := &packet.Config{KeyLifetimeSecs: uint32(lifetime.Seconds()), Time: func() time.Time { return made }}
		entity, err := openpgp.NewEntity("Ann", "", "ann@games.example", then)
		if err != nil {
			t.Fatal(err)
		}
		public := known(t, entity)
		signPGP(t, repo, entity, then)
		_, err = signedSource(t, repo, public).Newer(t.Context(), "")
		if git := gitVerifies(t, repo, os.DevNull, "verify-commit", "main"); (err == nil) != want || git != want {
			t.Errorf("a key for %s: got %v, git %t, want %t", lifetime, err, git, want)
		}
	}
}

// signPGP signs the branch's newest commit, and pushes.
func signPGP(t *testing.T, repo *gittest.Repo, entity *openpgp.Entity, then *packet.Config) {
	t.Helper()
	raw := repo.Git("cat-file", "commit", "HEAD") + "\n"
	var signature strings.Builder
	if err := openpgp.ArmoredDetachSign(&signature, entity, strings.NewReader(raw), then); err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(raw, "\n\n")
	raw = head + "\ngpgsig " + strings.ReplaceAll(strings.TrimSpace(signature.String()), "\n", "\n ") + "\n\n" + body
	repo.Git("push", "-q", "-f", "origin", repo.Git("hash-object", "-w", "-t", "commit", private(t, raw))+":refs/heads/main")
}
