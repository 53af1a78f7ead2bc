package gitsource

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// allowed is a line of allowed_signers.
func allowed(t *testing.T, options string, key crypto.Signer) string {
	t.Helper()
	return "ann@games.example " + options + string(ssh.MarshalAuthorizedKey(publicSSH(t, key)))
}

func publicSSH(t *testing.T, key crypto.Signer) ssh.PublicKey {
	t.Helper()
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// commitSigned has git commit with an SSH key, and pushes.
func commitSigned(t *testing.T, repo *gittest.Repo, key crypto.Signer, message string) string {
	t.Helper()
	repo.Git("-c", "gpg.format=ssh", "-c", "user.signingKey="+private(t, gittest.PrivateKey(t, key, "")),
		"commit", "-q", "-S", "--allow-empty", "-m", message)
	repo.Git("push", "-q", "-f", "origin", "HEAD")
	return repo.Git("rev-parse", "HEAD")
}

func signedSource(t *testing.T, repo *gittest.Repo, signers string) *Source {
	t.Helper()
	s, err := NewSource(Options{URL: repo.URL, Branch: "main", SignersFile: private(t, signers)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlySignedCommitsCount(t *testing.T) {
	needVerifiers(t)
	repo, ann, eve := gittest.NewRepo(t), newKey(t), newKey(t)
	s := signedSource(t, repo, "# who may release\n"+allowed(t, "", ann))
	refused := func(known, why string) {
		t.Helper()
		got, err := s.Newer(t.Context(), known)
		var unverified *UnverifiedError
		if got != nil || !errors.As(err, &unverified) || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, %v; want %q", got, err, why)
		}
	}
	refused("", `("first" by Ann) is not signed`)
	good := commitSigned(t, repo, ann, "release v1")
	if got, err := s.Newer(t.Context(), ""); err != nil || got.Commit != good {
		t.Fatalf("got %v, %v", got, err)
	}
	commitSigned(t, repo, eve, "release v2")
	refused(good, "is signed by the SSH key ssh-ed25519 SHA256:")

	fetches := repo.Seen(gittest.Fetch)
	refused(good, "which is not in "+s.SignersFile)
	if n := repo.Seen(gittest.Fetch); n != fetches {
		t.Errorf("what was refused was fetched %d times more", n-fetches)
	}
	if err := os.WriteFile(s.SignersFile, []byte(allowed(t, "", ann)+allowed(t, "", eve)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Newer(t.Context(), good); err != nil || got == nil || got.Subject != "release v2" {
		t.Errorf("once its signer counts: %v, %v", got, err)
	}
}

// A tip that was refused and taken back is no news.
func TestRefusedTipIsTakenBack(t *testing.T) {
	needVerifiers(t)
	repo, ann := gittest.NewRepo(t), newKey(t)
	s := signedSource(t, repo, allowed(t, "", ann))
	good := commitSigned(t, repo, ann, "release v1")
	repo.Commit(map[string]string{"a": "1"}, "not signed")
	if got, err := s.Newer(t.Context(), good); got != nil || err == nil {
		t.Fatalf("got %v, %v", got, err)
	}
	repo.Git("reset", "-q", "--hard", good)
	repo.Git("push", "-q", "-f", "origin", "HEAD")
	if got, err := s.Newer(t.Context(), good); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// Whoever changes a signed commit, or moves its signature to another one, is found out.
func TestForgedCommitsAreRefused(t *testing.T) {
	needVerifiers(t)
	repo, ann := gittest.NewRepo(t), newKey(t)
	s := signedSource(t, repo, allowed(t, "", ann))
	good := commitSigned(t, repo, ann, "release v1")
	forged := strings.Replace(repo.Git("cat-file", "commit", good), "release v1", "release v9", 1)
	file := private(t, forged+"\n")
	repo.Git("push", "-q", "-f", "origin", repo.Git("hash-object", "-w", "-t", "commit", file)+":refs/heads/main")
	if _, err := s.Newer(t.Context(), good); err == nil || !strings.Contains(err.Error(), "was changed after it was signed") {
		t.Errorf("got %v", err)
	}
}

func TestSignersHaveTheirTimesAndPurposes(t *testing.T) {
	needVerifiers(t)
	repo, ann := gittest.NewRepo(t), newKey(t)
	good := commitSigned(t, repo, ann, "release v1")
	for options, why := range map[string]string{
		`namespaces="git,file" `:                    "",
		`namespaces="file" `:                        "has for file and not for git",
		`valid-after="20200101Z" `:                  "",
		`valid-after="29990101Z" `:                  "from 2999-01-01T00:00:00Z only",
		`valid-before="202001011200Z" `:             "until 2020-01-01T12:00:00Z",
		`valid-before="29990101Z" `:                 "",
		`NAMESPACES="git",valid-after="20200101Z" `: "",
	} {
		got, err := signedSource(t, repo, allowed(t, options, ann)).Newer(t.Context(), "")
		if why == "" && (err != nil || got.Commit != good) || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %v, want %q", options, err, why)
		}
	}
}

// What our own writer signs with OpenPGP git verifies; see the test of that.
func TestOpenPGPSignersCount(t *testing.T) {
	needVerifiers(t)
	repo := gittest.NewRepo(t)
	key, other := pgpKey(t, ""), pgpKey(t, "")
	w, err := NewWriter(WriterOptions{Options: Options{URL: repo.URL, Branch: "main"}, Author: Person{"Ann", "ann@games.example"}, SigningKey: SigningKey{File: key}})
	if err != nil {
		t.Fatal(err)
	}
	commit, err := w.Commit(t.Context(), put("a", "1"))
	if err != nil {
		t.Fatal(err)
	}
	ssh := allowed(t, "", newKey(t))
	if got, err := signedSource(t, repo, ssh+publicPGP(t, key)+"# more\n"+ssh).Newer(t.Context(), ""); err != nil || got.Commit != commit {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := signedSource(t, repo, ssh+publicPGP(t, other)).Newer(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "OpenPGP key that is not in") {
		t.Errorf("another key: %v", err)
	}
}

// publicPGP is the public half of a private key's file.
func publicPGP(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	return armored(t, openpgp.PublicKeyType, keys[0].Serialize)
}

func TestBadSignersAreRefusedAtOnce(t *testing.T) {
	for content, want := range map[string]string{
		"":                    "names no signer",
		"# nobody\n":          "names no signer",
		"ann@games.example\n": "want MAIL ssh-ed25519",
		"ssh-ed25519 AAAA\n":  "want MAIL ssh-ed25519",
		pgpBegin + "\n\nxx\n": "read an OpenPGP key",
		allowed(t, `valid-after="20200101" `, newKey(t)): `want a time such as 20261231Z, got "20200101"`,
		allowed(t, `cert-authority `, newKey(t)):         "cert-authority is not known here",
	} {
		_, err := NewSource(Options{URL: "https://git.example/a", Branch: "main", SignersFile: private(t, content)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
}
