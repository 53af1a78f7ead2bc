package gitsource

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
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
	// CAFile with the authorities to trust instead of the system's.
	CAFile string
}

// load reads the credentials; method is nil where there are none.
func (a Auth) load() (method transport.AuthMethod, ca []byte, err error) {
	if a.TokenFile != "" && a.PasswordFile != "" {
		return nil, nil, errors.New("give either a password file or a token file for Git, not both")
	}
	if a.CAFile != "" {
		if ca, err = os.ReadFile(a.CAFile); err != nil {
			return nil, nil, fmt.Errorf("read the Git server's authorities: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(ca) {
			return nil, nil, fmt.Errorf("%s holds no certificate in PEM form", a.CAFile)
		}
	}
	switch {
	case a.TokenFile != "":
		token, err := secret(a.TokenFile)
		return &http.TokenAuth{Token: token}, ca, err
	case a.PasswordFile != "":
		password, err := secret(a.PasswordFile)
		if err != nil || a.UsernameFile == "" {
			return &http.BasicAuth{Username: "git", Password: password}, ca, err
		}
		user, err := secret(a.UsernameFile)
		return &http.BasicAuth{Username: user, Password: password}, ca, err
	}
	return nil, ca, nil
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

// checkURL refuses what we do not speak, and credentials in URLs: those end up
// in logs and errors. Its own errors quote no URL that may hold one.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("the Git URL cannot be parsed")
	}
	if u.User != nil || u.RawQuery != "" {
		return errors.New("the Git URL holds credentials or a query; put credentials into files")
	}
	switch u.Scheme {
	case "http", "https", "file":
		return nil
	}
	return fmt.Errorf("the Git URL %s is none that can be followed: want https://, http:// or file://", text)
}
