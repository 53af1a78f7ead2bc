package gittest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/internal/debian"
)

// SSHD is OpenSSH's server, with a key of each usual type.
type SSHD struct {
	Address string // host:port
	// KnownHosts has a line for each of its keys, by type.
	KnownHosts map[string]string
	authorized string
	t          testing.TB
}

// AcceptVersion2 hands on which version of Git's protocol is wished.
const AcceptVersion2 = "AcceptEnv GIT_PROTOCOL"

const sshd = "/usr/sbin/sshd"

// NewSSHD runs a server on loopback until the test ends. The user root may log in,
// with the keys that are let in. Settings are more lines of its sshd_config: with
// AcceptVersion2 it speaks version 2 of Git's protocol.
func NewSSHD(t testing.TB, settings ...string) *SSHD {
	t.Helper()
	return NewSSHDAt(t, "127.0.0.1", settings...)
}

// NewSSHDAt runs one on another of this machine's addresses.
func NewSSHDAt(t testing.TB, host string, settings ...string) *SSHD {
	t.Helper()
	if err := debian.Need(t.Context(), "this test talks Git over SSH", map[string]string{sshd: "openssh-server"}); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // sshd insists on it
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &SSHD{Address: free(t, host), KnownHosts: map[string]string{}, authorized: filepath.Join(dir, "authorized_keys"), t: t}
	config := fmt.Sprintf("ListenAddress %s\nPidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nAuthorizedKeysFile %s\n%s\n",
		s.Address, s.authorized, strings.Join(settings, "\n"))
	for _, key := range keys(t) {
		signer, err := ssh.NewSignerFromSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, strings.TrimPrefix(signer.PublicKey().Type(), "ssh-"))
		write(t, file, PrivateKey(t, key, ""))
		config += "HostKey " + file + "\n"
		s.KnownHosts[signer.PublicKey().Type()] = s.line(signer.PublicKey())
	}
	write(t, filepath.Join(dir, "sshd_config"), config)
	s.run(filepath.Join(dir, "sshd_config"))
	return s
}

func keys(t testing.TB) []crypto.Signer {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return []crypto.Signer{ed, ec, old}
}

// PrivateKey is a key as ssh-keygen writes it.
func PrivateKey(t testing.TB, key crypto.Signer, passphrase string) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block))
}

func write(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func free(t testing.TB, host string) string {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (s *SSHD) line(key ssh.PublicKey) string {
	host, port, _ := net.SplitHostPort(s.Address)
	return fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(key))
}

// run starts the server and waits for it to listen.
func (s *SSHD) run(config string) {
	s.t.Helper()
	var log bytes.Buffer
	server := exec.Command(sshd, "-D", "-e", "-f", config)
	server.Stderr = &log
	if err := server.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if s.t.Failed() {
			s.t.Log(log.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.Address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("sshd does not listen: %v", err)
		}
	}
}

// LetIn has root log in with a key, and with no other.
func (s *SSHD) LetIn(key ssh.PublicKey) {
	s.t.Helper()
	write(s.t, s.authorized, string(ssh.MarshalAuthorizedKey(key)))
}
