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
	// AppID of a GitHub App, AppInstallationID of where it is installed and AppKeyFile
	// with its private key: tokens are asked for with them, at AppAPI (GitHub's if
	// empty).
	AppID, AppInstallationID, AppKeyFile, AppAPI string
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
	define(&a.AppID, "git-app-id", "", "ID, or client ID, of a GitHub App to be over HTTPS")
	define(&a.AppInstallationID, "git-app-installation-id", "", "number of that App's installation with the repository")
	define(&a.AppKeyFile, "git-app-key-file", "", "file with that App's private key")
	define(&a.AppAPI, "git-app-api", githubAPI, "where that App asks for its tokens: https://HOST/api/v3 of a GitHub Enterprise Server")
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
	for _, file := range []string{a.TokenFile, a.PasswordFile, a.AppKeyFile} {
		if file != "" {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("give one of a password file, a token file and a GitHub App for Git, not several")
	}
	return a.checkApp()
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
	case a.AppKeyFile != "":
		token, err := r.app.get(ctx)
		return &http.BasicAuth{Username: "x-access-token", Password: token}, err
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
