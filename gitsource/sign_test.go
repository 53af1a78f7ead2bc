package gitsource

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/internal/debian"
)

const passphrase = "correct horse"

// needVerifiers are what git asks about signatures.
func needVerifiers(t *testing.T) {
	t.Helper()
	if err := debian.Need(t.Context(), "git verifies signatures with it", map[string]string{"gpg": "gpg", "ssh-keygen": "openssh-client"}); err != nil {
		t.Fatal(err)
	}
}

func private(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "private")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// sshKey writes a key as ssh-keygen does, and tells what git needs to verify it.
func sshKey(t *testing.T, key crypto.Signer, passphrase string) (file string, verify []string) {
	t.Helper()
	allowed := private(t, "hotpatch@box "+string(ssh.MarshalAuthorizedKey(publicSSH(t, key))))
	return private(t, gittest.PrivateKey(t, key, passphrase)), []string{"-c", "gpg.format=ssh", "-c", "gpg.ssh.allowedSignersFile=" + allowed}
}

// pgpKey writes a key in armor, and has gpg know its public half.
func pgpKey(t *testing.T, passphrase string) (file string) {
	t.Helper()
	entity, err := openpgp.NewEntity("Hotpatch", "", "hotpatch@box", nil)
	if err != nil {
		t.Fatal(err)
	}
	known(t, entity)
	if passphrase != "" {
		if err := entity.EncryptPrivateKeys([]byte(passphrase), nil); err != nil {
			t.Fatal(err)
		}
	}
	return private(t, armored(t, openpgp.PrivateKeyType, func(w io.Writer) error { return entity.SerializePrivateWithoutSigning(w, nil) }))
}

// known has gpg know a key, whose public half it returns.
func known(t *testing.T, entity *openpgp.Entity) (public string) {
	t.Helper()
	public = armored(t, openpgp.PublicKeyType, entity.Serialize)
	t.Setenv("GNUPGHOME", t.TempDir())
	gpg := exec.Command("gpg", "--batch", "--no-autostart", "--import")
	gpg.Stdin = strings.NewReader(public)
	if out, err := gpg.CombinedOutput(); err != nil {
		t.Fatalf("gpg: %v\n%s", err, out)
	}
	return public
}

func armored(t *testing.T, kind string, serialize func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	w, err := armor.Encode(&out, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n"
}

// What git itself says of commits that are signed with each kind of key.
func TestGitVerifiesSignedCommits(t *testing.T) {
	needVerifiers(t)
	ed := newKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"", passphrase} {
		key := SigningKey{}
		if secret != "" {
			key.PassphraseFile = private(t, secret+"\n")
		}
		for name, make := range map[string]func() (string, []string){
			"ed25519": func() (string, []string) { return sshKey(t, ed, secret) },
			"rsa":     func() (string, []string) { return sshKey(t, rsaKey, secret) },
			"OpenPGP": func() (string, []string) { return pgpKey(t, secret), nil },
		} {
			repo := gittest.NewRepo(t)
			var verify []string
			key.File, verify = make()
			w, err := NewWriter(WriterOptions{Options: Options{URL: repo.URL, Branch: "status"}, Author: Person{"Hotpatch", "hotpatch@box"}, SigningKey: key})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := w.Commit(t.Context(), put("a", "1")); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			said := repo.Git(append(append([]string{"-C", repo.Bare}, verify...), "verify-commit", "status")...)
			if !strings.Contains(said, "Good ") || !strings.Contains(said, "hotpatch@box") {
				t.Errorf("%s: git says %s", name, said)
			}
		}
	}
}

func TestBadSigningKeysAreRefused(t *testing.T) {
	needVerifiers(t)
	ed := newKey(t)
	locked, _ := sshKey(t, ed, passphrase)
	for name, c := range map[string]struct {
		key  SigningKey
		want string
	}{
		"no file":             {SigningKey{File: "/nowhere/key"}, "/nowhere/key"},
		"garbage":             {SigningKey{File: private(t, "garbage")}, "want a private key of SSH, or one of OpenPGP in armor"},
		"no passphrase":       {SigningKey{File: locked}, "has a passphrase"},
		"wrong passphrase":    {SigningKey{locked, private(t, "hunter2")}, "the key in " + locked},
		"OpenPGP, locked":     {SigningKey{File: pgpKey(t, passphrase)}, "has a passphrase"},
		"OpenPGP, wrong":      {SigningKey{pgpKey(t, passphrase), private(t, "hunter2")}, "passphrase"},
		"OpenPGP, cut short":  {SigningKey{File: private(t, "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxcLY")}, "OpenPGP in armor"},
		"a public key of SSH": {SigningKey{File: private(t, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAo3D7CGN01tTYY/dLKXEv8RxRyxa32c51X0uKMhnMab x")}, "want a private key"},
	} {
		_, err := NewWriter(WriterOptions{Options: Options{URL: "https://git.example/r", Branch: "status"}, SigningKey: c.key})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that was rotated signs the next commit.
func TestARotatedKeySignsTheNextCommit(t *testing.T) {
	needVerifiers(t)
	repo := gittest.NewRepo(t)
	one, two := newKey(t), newKey(t)
	file, _ := sshKey(t, one, "")
	w, err := NewWriter(WriterOptions{Options: Options{URL: repo.URL, Branch: "status"}, Author: Person{"Hotpatch", "hotpatch@box"}, SigningKey: SigningKey{File: file}})
	if err != nil {
		t.Fatal(err)
	}
	next, verify := sshKey(t, two, "")
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), put("a", "1")); err != nil {
		t.Fatal(err)
	}
	repo.Git(append(append([]string{"-C", repo.Bare}, verify...), "verify-commit", "status")...)
}

func TestAuthorAndCommitter(t *testing.T) {
	repo := gittest.NewRepo(t)
	var author Person
	if err := author.UnmarshalText([]byte("Release Bot <bot@games.example>")); err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(WriterOptions{Options: Options{URL: repo.URL, Branch: "status"}, Author: author, Committer: Person{"Hotpatch", "hotpatch@box"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(t.Context(), put("a", "1")); err != nil {
		t.Fatal(err)
	}
	if got := repo.Git("-C", repo.Bare, "log", "-1", "--format=%an <%ae>, %cn <%ce>", "status"); got != "Release Bot <bot@games.example>, Hotpatch <hotpatch@box>" {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{"", "bot", "bot@games.example", "<bot@games.example>", "Bot <bot", `"Bot <x>" <bot@games.example>`} {
		if err := author.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, author)
		}
	}
}
