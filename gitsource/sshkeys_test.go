package gitsource

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/internal/debian"
)

func needKeyMakers(t *testing.T) {
	t.Helper()
	if err := debian.Need(t.Context(), "this test makes keys with it", map[string]string{"openssl": "openssl", "ssh-keygen": "openssh-client"}); err != nil {
		t.Fatal(err)
	}
}

// madeBy has a program write a key, and returns its file with its public half. FILE
// and PASSPHRASE stand for those among the words, NONE for an empty one.
func madeBy(t *testing.T, program, passphrase string) (file string, public ssh.PublicKey) {
	t.Helper()
	file = t.TempDir() + "/key"
	run := func(words ...string) []byte {
		for i := range words {
			words[i] = strings.NewReplacer("FILE", file, "PASSPHRASE", passphrase, "NONE", "").Replace(words[i])
		}
		out, err := exec.Command(words[0], words[1:]...).Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", words, err, out)
		}
		return out
	}
	run(strings.Fields(program)...)
	public, _, _, _, err := ssh.ParseAuthorizedKey(run("ssh-keygen", "-y", "-P", passphrase, "-f", file))
	if err != nil {
		t.Fatal(err)
	}
	return file, public
}

// Keys as people have them open OpenSSH's server.
func TestKeysOfAllKindsLogIn(t *testing.T) {
	needKeyMakers(t)
	const locked = "hunter2"
	_, server, o := onSSH(t, ssh.KeyAlgoED25519)
	for name, c := range map[string]struct{ program, passphrase, begins string }{
		"ed25519":                 {"ssh-keygen -q -t ed25519 -N NONE -f FILE", "", "OPENSSH "},
		"ed25519, locked":         {"ssh-keygen -q -t ed25519 -a 1 -N PASSPHRASE -f FILE", locked, "OPENSSH "},
		"ECDSA":                   {"ssh-keygen -q -t ecdsa -N NONE -f FILE", "", "OPENSSH "},
		"ECDSA P-521, locked":     {"ssh-keygen -q -t ecdsa -b 521 -a 1 -N PASSPHRASE -f FILE", locked, "OPENSSH "},
		"ECDSA, PEM, locked":      {"ssh-keygen -q -t ecdsa -m PEM -N PASSPHRASE -f FILE", locked, "EC "},
		"RSA":                     {"ssh-keygen -q -t rsa -b 2048 -N NONE -f FILE", "", "OPENSSH "},
		"RSA, locked":             {"ssh-keygen -q -t rsa -b 2048 -a 1 -N PASSPHRASE -f FILE", locked, "OPENSSH "},
		"RSA, PEM":                {"ssh-keygen -q -t rsa -b 2048 -m PEM -N NONE -f FILE", "", "RSA "},
		"RSA, PEM, locked":        {"ssh-keygen -q -t rsa -b 2048 -m PEM -N PASSPHRASE -f FILE", locked, "RSA "},
		"RSA of openssl, locked":  {"openssl genrsa -traditional -aes256 -passout pass:PASSPHRASE -out FILE 2048", locked, "RSA "},
		"RSA of openssl, PKCS #8": {"openssl genrsa -out FILE 2048", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := o
			file, public := madeBy(t, c.program, c.passphrase)
			if content, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(content), "-----BEGIN "+c.begins+"PRIVATE KEY-----") {
				t.Fatalf("%v: it is not of the kind that is tried", err)
			}
			server.LetIn(public)
			o.Auth.SSHKeyFile = file
			if c.passphrase != "" {
				o.Auth.SSHPassphraseFile = private(t, c.passphrase+"\n")
			}
			source, err := NewSource(o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := source.Newer(t.Context(), ""); err != nil {
				t.Error(err)
			}
			if c.passphrase == "" {
				return
			}
			o.Auth.SSHPassphraseFile = ""
			if _, err := NewSource(o); err == nil || !strings.Contains(err.Error(), "no file of that is named") {
				t.Errorf("without its passphrase: %v", err)
			}
			o.Auth.SSHPassphraseFile = private(t, "hunter3")
			if _, err := NewSource(o); err == nil || !strings.Contains(err.Error(), "does not fit") || strings.Contains(err.Error(), "hunter") {
				t.Errorf("with another passphrase: %v", err)
			}
		})
	}
}

// What openssl writes today is told from garbage, and the advice works.
func TestKeysAsPKCS8WithAPassphrase(t *testing.T) {
	needKeyMakers(t)
	file, _ := madeBy(t, "openssl genrsa -aes256 -passout pass:PASSPHRASE -out FILE 2048", "hunter2")
	key, locked := &opened[ssh.Signer]{}, private(t, "hunter2")
	if _, err := key.get(file, locked, openSSH); err == nil || !strings.Contains(err.Error(), "ssh-keygen -p -f FILE") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if out, err := exec.Command("ssh-keygen", "-p", "-P", "hunter2", "-N", "hunter2", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := key.get(file, locked, openSSH); err != nil {
		t.Errorf("once ssh-keygen wrote it: %v", err)
	}
}

// One wrong passphrase of 256 seems to open a key in PEM, and what it holds is rubbish.
func TestWrongPassphrasesNeverOpenAKeyInPEM(t *testing.T) {
	needKeyMakers(t)
	for _, program := range []string{"ssh-keygen -q -t ecdsa -m PEM -N PASSPHRASE -f FILE", "openssl genrsa -traditional -aes256 -passout pass:PASSPHRASE -out FILE 2048"} {
		file, _ := madeBy(t, program, "hunter2")
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1500 {
			if _, err := openSSH(string(content), strconv.Itoa(i)); err == nil || err.Error() != "the passphrase in its file does not fit" {
				t.Fatalf("%s, by %d: %v", program, i, err)
			}
		}
	}
}
