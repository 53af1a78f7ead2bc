package gitsource

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// rotate gives a credential's file other content.
func rotate(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// polls asks a source, which is running all the while; "" if it is let in.
func polls(t *testing.T, s *Source, known, want string) {
	t.Helper()
	_, err := s.Newer(t.Context(), known)
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestKnownHostsRotate(t *testing.T) {
	_, server, o := onSSH(t, ssh.KeyAlgoED25519)
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	known := snapshot(t, s).Commit
	rotate(t, o.Auth.KnownHostsFile, "# none\n")
	polls(t, s, known, "is not in "+o.Auth.KnownHostsFile)
	rotate(t, o.Auth.KnownHostsFile, server.KnownHosts[ssh.KeyAlgoRSA])
	polls(t, s, known, "")
}

// A key and its passphrase are two files, which do not change at once.
func TestPassphrasesRotate(t *testing.T) {
	_, server, o := onSSH(t, ssh.KeyAlgoED25519)
	needKeyMakers(t)
	const quick = "ssh-keygen -q -t ecdsa -m PEM -N PASSPHRASE -f FILE" // to open
	file, first := madeBy(t, quick, "first")
	next, second := madeBy(t, quick, "second")
	server.LetIn(first)
	o.Auth.SSHKeyFile, o.Auth.SSHPassphraseFile = file, private(t, "first\n")
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	known := snapshot(t, s).Commit
	server.LetIn(second)
	polls(t, s, known, "register its public half there")
	if err := os.Rename(next, file); err != nil {
		t.Fatal(err)
	}
	polls(t, s, known, "the passphrase in its file does not fit")
	rotate(t, o.Auth.SSHPassphraseFile, "second\n")
	polls(t, s, known, "")
	rotate(t, o.Auth.SSHPassphraseFile, "")
	polls(t, s, known, "the Git credential in "+o.Auth.SSHPassphraseFile+" is empty")
}

// asked is a repository for those who show one credential.
func asked(t *testing.T, repo *gittest.Repo, credential *atomic.Value) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != credential.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		repo.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/repo.git"
}

// What a token or a password is replaced by is shown by the next poll and the next
// push, of those that are running.
func TestTokensAndPasswordsRotate(t *testing.T) {
	for name, c := range map[string]struct {
		auth func(first string) (Auth, string)
		want [2]string
	}{
		"token": {func(first string) (Auth, string) {
			file := private(t, first)
			return Auth{TokenFile: file}, file
		}, [2]string{"Bearer hunter2", "Bearer hunter3"}},
		"password": {func(first string) (Auth, string) {
			file := private(t, first)
			return Auth{UsernameFile: private(t, "ann"), PasswordFile: file}, file
		}, [2]string{"Basic YW5uOmh1bnRlcjI=", "Basic YW5uOmh1bnRlcjM="}},
		"user": {func(first string) (Auth, string) {
			file := private(t, first)
			return Auth{UsernameFile: file, PasswordFile: private(t, "pass")}, file
		}, [2]string{"Basic aHVudGVyMjpwYXNz", "Basic aHVudGVyMzpwYXNz"}},
	} {
		t.Run(name, func(t *testing.T) {
			repo, credential := gittest.NewRepo(t), &atomic.Value{}
			credential.Store(c.want[0])
			auth, file := c.auth("hunter2\n")
			o := Options{URL: asked(t, repo, credential), Branch: "main", Auth: auth}
			s, known, w := follower(t, o)
			write := func(content string) error {
				_, err := w.Commit(t.Context(), put("a", content))
				return err
			}
			if err := write("1"); err != nil {
				t.Fatal(err)
			}
			credential.Store(c.want[1])
			polls(t, s, known, "check the credential files")
			if err := write("2"); err == nil || strings.Contains(err.Error(), "hunter") {
				t.Errorf("with the old one: %v", err)
			}
			rotate(t, file, "hunter3\n")
			polls(t, s, known, "")
			if err := write("3"); err != nil {
				t.Errorf("with the new one: %v", err)
			}
		})
	}
}
