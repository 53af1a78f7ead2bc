package gitsource

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// sshPort where a URL names none.
const sshPort = 22

func sshAddress(e *transport.Endpoint) string {
	port := e.Port
	if port == 0 {
		port = sshPort
	}
	return net.JoinHostPort(strings.Trim(e.Host, "[]"), strconv.Itoa(port))
}

// sshConfig is one key and one host to trust, by files that are read anew.
func (r *remote) sshConfig(e *transport.Endpoint) (*ssh.ClientConfig, error) {
	a := r.Auth
	if a.SSHKeyFile == "" || a.KnownHostsFile == "" {
		return nil, errors.New("over SSH it needs a private key and the host's keys: set --git-ssh-key-file and --git-known-hosts-file")
	}
	if _, _, err := sshProxy(sshAddress(e)); err != nil {
		return nil, err
	}
	key, err := r.sshKey.get(a.SSHKeyFile, a.SSHPassphraseFile, openSSH)
	if err != nil {
		return nil, err
	}
	known, err := knownhosts.NewDB(a.KnownHostsFile)
	if err != nil {
		return nil, fmt.Errorf("read the SSH hosts to trust: %w", err)
	}
	return &ssh.ClientConfig{
		User:            cmp.Or(e.User, "git"),
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: hosts{a.KnownHostsFile, known}.judge,
		// Only what the file has of the host: of a server with several keys the
		// library would otherwise ask for another one, and call it a mismatch.
		HostKeyAlgorithms: known.HostKeyAlgorithms(sshAddress(e)),
	}, nil
}

// hosts are those of a known_hosts file.
type hosts struct {
	file string
	db   *knownhosts.HostKeyDB
}

// judge says whom it met and what to do, which the library does not.
func (h hosts) judge(address string, remote net.Addr, key ssh.PublicKey) error {
	err := h.db.HostKeyCallback()(address, remote, key)
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	host := knownhosts.Normalize(address)
	switch {
	case knownhosts.IsHostKeyChanged(err):
		return &hostError{fmt.Sprintf("the host %s shows the key %s, %s has another one of it: if its owner says that it was changed, replace the line; otherwise someone stands in between", host, shown, h.file), err}
	case knownhosts.IsHostUnknown(err):
		return &hostError{fmt.Sprintf("the host %s is not in %s; it shows the key %s: if that is the one its owner publishes, add the line %q", host, h.file, shown, knownhosts.Line([]string{address}, key)), err}
	}
	return err
}

// hostError says why a host is not trusted.
type hostError struct {
	text string
	err  error
}

func (e *hostError) Error() string { return e.text }
func (e *hostError) Unwrap() error { return e.err }

// explainSSH puts what the library says of a handshake into words.
func explainSSH(err error, e *transport.Endpoint, a Auth) error {
	var host *hostError
	text := err.Error()
	switch {
	case errors.As(err, &host):
		return host
	case strings.Contains(text, "unable to authenticate"):
		return fmt.Errorf("the server does not take the key in %s: register its public half there", a.SSHKeyFile)
	case strings.Contains(text, "no common algorithm for host key"):
		return fmt.Errorf("%s has only keys of %s that the host no longer uses (%w): add those that its owner publishes", a.KnownHostsFile, e.Host, err)
	}
	return err
}
