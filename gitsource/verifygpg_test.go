package gitsource

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/internal/debian"
)

// byGPG has gpg make a key for each mail address, as people do, and returns how git
// is told to sign with the first, and the public halves by address.
func byGPG(t *testing.T, kind string, subkey bool, mails ...string) (sign []string, public map[string]string) {
	t.Helper()
	needVerifiers(t)
	if err := debian.Need(t.Context(), "gpg signs with it", map[string]string{"gpg-agent": "gpg-agent", "gpgconf": "gpgconf"}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", t.TempDir())
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--kill", "gpg-agent").Run() })
	gpg := func(words ...string) string {
		t.Helper()
		var said strings.Builder
		cmd := exec.Command("gpg", append([]string{"--batch", "--pinentry-mode", "loopback", "--passphrase", ""}, words...)...)
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %s: %v\n%s", words, err, said.String())
		}
		return string(out)
	}
	public = map[string]string{}
	for _, mail := range mails {
		gpg("--quick-gen-key", "Ann <"+mail+">", kind, "sign", "1y")
		if subkey {
			_, fingerprint, _ := strings.Cut(gpg("--list-keys", "--with-colons", mail), "\nfpr:::::::::")
			fingerprint, _, _ = strings.Cut(fingerprint, ":")
			gpg("--quick-add-key", fingerprint, kind, "sign", "1y")
		}
		public[mail] = gpg("--armor", "--export", mail)
	}
	return []string{"-c", "user.signingKey=" + mails[0]}, public
}

// Where gpg signs, by the key itself or by a subkey of it: tags and commits.
func TestWhatGPGSignsCounts(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		subkey bool
	}{"ed25519": {"ed25519", false}, "a subkey": {"ed25519", true}, "RSA": {"rsa2048", false}} {
		t.Run(name, func(t *testing.T) {
			const ann, eve = "ann@games.example", "eve@games.example"
			sign, public := byGPG(t, c.kind, c.subkey, ann, eve)
			repo := gittest.NewRepo(t)
			s := signedSource(t, repo, public[ann])
			refused := func(why string) {
				t.Helper()
				got, err := s.Newer(t.Context(), "")
				var unverified *UnverifiedError
				if got != nil || !errors.As(err, &unverified) || !strings.Contains(err.Error(), why) {
					t.Errorf("got %v, %v; want %q", got, err, why)
				}
			}
			counts := func(want string) {
				t.Helper()
				if got, err := s.Newer(t.Context(), ""); err != nil || got == nil || got.Commit != want {
					t.Errorf("got %v, %v, want %s", got, err, want)
				}
			}
			repo.Git(append(sign, "commit", "-q", "-S", "--allow-empty", "-m", "release v1\n\nof today")...)
			repo.Git("push", "-q", "origin", "HEAD")
			counts(repo.Git("rev-parse", "HEAD"))

			s.Tag = "v1.*"
			tagged(repo, "v1.0.0")
			refused("is not signed")
			good := tagged(repo, "v1.1.0", append(sign, "-c", "tag.gpgSign=true")...)
			counts(good)
			if !gitVerifies(t, repo, "", "verify-tag", "v1.1.0") {
				t.Error("git does not verify it")
			}
			forged := strings.Replace(repo.Git("cat-file", "tag", "v1.1.0")+"\n", "tag v1.1.0", "tag v1.2.0", 1)
			repo.Git("push", "-q", "origin", repo.Git("hash-object", "-w", "-t", "tag", private(t, forged))+":refs/tags/v1.2.0")
			refused("was changed after it was signed")
			tagged(repo, "v1.3.0", "-c", "user.signingKey="+eve, "-c", "tag.gpgSign=true")
			refused("is signed by an OpenPGP key that is not in " + s.SignersFile)
			rotate(t, s.SignersFile, public[ann]+public[eve])
			counts(repo.Git("rev-parse", "v1.3.0^{commit}"))
		})
	}
}
