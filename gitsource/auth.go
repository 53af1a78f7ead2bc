package gitsource

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport/http"
)

// Auth names files with credentials. They are read at each use, so that a
// rotated secret is used at once.
type Auth struct {
	// UsernameFile and PasswordFile for basic authentication; without a user
	// name it is "git", as forges want it with a token for password.
	UsernameFile, PasswordFile string
	// TokenFile for a bearer token.
	TokenFile string
	// CAFile with authorities to trust besides the system's, ClientCertFile and
	// ClientKeyFile with a certificate to show, and its key.
	CAFile, ClientCertFile, ClientKeyFile string
	// SSHKeyFile with a private key, SSHPassphraseFile with its passphrase if it
	// has one, KnownHostsFile with the keys of the hosts to trust.
	SSHKeyFile, SSHPassphraseFile, KnownHostsFile string
}

// Flags hands each file's name, with that of its flag, to what defines flags.
func (a *Auth) Flags(define func(file *string, name, byDefault, usage string)) {
	define(&a.UsernameFile, "git-username-file", "", "file with the user name for Git over HTTPS")
	define(&a.PasswordFile, "git-password-file", "", "file with the password or access token for that user")
	define(&a.TokenFile, "git-token-file", "", "file with a bearer token for Git over HTTPS")
	define(&a.CAFile, "git-ca-file", "", "file with the certificates to trust for Git over HTTPS")
	define(&a.ClientCertFile, "git-client-cert-file", "", "file with the certificate to show for Git over HTTPS")
	define(&a.ClientKeyFile, "git-client-key-file", "", "file with the key of that certificate")
	define(&a.SSHKeyFile, "git-ssh-key-file", "", "file with the private key for Git over SSH")
	define(&a.SSHPassphraseFile, "git-ssh-passphrase-file", "", "file with that key's passphrase")
	define(&a.KnownHostsFile, "git-known-hosts-file", "", "known_hosts file with the keys of the Git server's host")
}

// check refuses what contradicts itself.
func (a Auth) check() error {
	ways := 0
	for _, file := range []string{a.TokenFile, a.PasswordFile} {
		if file != "" {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("give either a password file or a token file for Git, not both")
	}
	return nil
}

// credential is what to show over HTTP, read anew; nil without one.
func (r *remote) credential(ctx context.Context) (http.AuthMethod, error) {
	a := r.Auth
	switch {
	case a.TokenFile != "":
		token, err := secret(a.TokenFile)
		return &http.TokenAuth{Token: token}, err
	case a.PasswordFile != "":
		password, err := secret(a.PasswordFile)
		if err != nil || a.UsernameFile == "" {
			return &http.BasicAuth{Username: "git", Password: password}, err
		}
		user, err := secret(a.UsernameFile)
		return &http.BasicAuth{Username: user, Password: password}, err
	}
	return nil, nil
}

func secret(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read a Git credential: %w", err)
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", fmt.Errorf("the Git credential in %s is empty", file)
	}
	return text, nil
}
