package reconciler

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/internal/debian"
	"hotpatch.dev/hotpatch/reconciler/kube"
)

// A tip that is not signed asks for nothing: what was in force stays so and says why,
// until there is a good one, or the old one again.
func TestUnsignedTipIsNotApplied(t *testing.T) {
	if err := debian.Need(t.Context(), "git signs commits with it", map[string]string{"ssh-keygen": "openssh-client"}); err != nil {
		t.Fatal(err)
	}
	repo, dir := gittest.NewRepo(t), t.TempDir()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	private, signers := filepath.Join(dir, "key"), filepath.Join(dir, "signers")
	for file, content := range map[string]string{private: gittest.PrivateKey(t, key, ""), signers: "ann@games.example " + string(ssh.MarshalAuthorizedKey(public))} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sign := func() string {
		repo.Git("-c", "gpg.format=ssh", "-c", "user.signingKey="+private, "commit", "-q", "-S", "--amend", "--no-edit")
		repo.Git("push", "-q", "-f", "origin", "HEAD")
		return repo.Git("rev-parse", "HEAD")
	}
	repo.Commit(manifest("a"), "release v1")
	first := sign()
	r, _ := lead(t, repo, "hotpatch-status", &scripted{pods: []kube.Pod{gamePod()}}, func(r *Reconciler) {
		source, err := gitsource.NewSource(gitsource.Options{URL: repo.URL, Branch: "main", SignersFile: signers})
		if err != nil {
			t.Fatal(err)
		}
		r.follower.source = source
	})
	good := func(commit string) func() bool {
		return func() bool {
			s := recorded(t, repo)
			return s.Source.Commit == commit && s.Phase != api.PhaseDegraded
		}
	}
	refused := func() bool {
		s := recorded(t, repo)
		return s.Source.Commit == first && s.Phase == api.PhaseDegraded && strings.Contains(s.Message, `("release v2" by Ann) is not signed`) && strings.Contains(s.Message, "stays in force")
	}
	eventually(t, "v1", good(first))

	repo.Commit(manifest("b"), "release v2")
	r.pollNow()
	eventually(t, "the refusal", refused)
	repo.Git("reset", "-q", "--hard", first)
	repo.Git("push", "-q", "-f", "origin", "HEAD")
	r.pollNow()
	eventually(t, "v1 again", good(first))

	repo.Commit(manifest("b"), "release v2")
	r.pollNow()
	eventually(t, "the second refusal", refused)
	second := sign()
	r.pollNow()
	eventually(t, "v2", good(second))
}
