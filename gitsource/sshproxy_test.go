package gitsource

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// newSOCKS is a small proxy of SOCKS5, which leads git.example to one address and
// wants a password.
func newSOCKS(t *testing.T, to string) (string, *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	through := &atomic.Int64{}
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer here.Close()
				if !socksGreets(here) {
					return
				}
				through.Add(1)
				there, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				go pipe(here, here, there)
				_, _ = io.Copy(there, here)
				there.Close()
			}()
		}
	}()
	return listener.Addr().String(), through
}

// socksGreets takes ann with her password, and a connection to git.example:22 (RFC
// 1928 and 1929).
func socksGreets(conn net.Conn) bool {
	for _, turn := range []struct{ want, answer string }{
		{"\x05\x02\x00\x02", "\x05\x02"},
		{"\x01\x03ann\x07hunter2", "\x01\x00"},
		{"\x05\x01\x00\x03\x0bgit.example\x00\x16", "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"},
	} {
		got := make([]byte, len(turn.want))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, []byte(turn.want)) {
			_, _ = io.WriteString(conn, turn.answer[:1]+"\x01") // no
			return false
		}
		if _, err := io.WriteString(conn, turn.answer); err != nil {
			return false
		}
	}
	return true
}

// onExample is OpenSSH's server under the name git.example, which nobody but a proxy
// can find.
func onExample(t *testing.T) (*gittest.SSHD, Options) {
	t.Helper()
	for _, none := range []string{"ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"} {
		t.Setenv(none, "")
	}
	repo, server, o := onSSH(t, ssh.KeyAlgoED25519)
	_, key, _ := strings.Cut(server.KnownHosts[ssh.KeyAlgoED25519], " ")
	o.URL, o.Auth.KnownHostsFile = "ssh://root@git.example"+repo.Bare, private(t, "git.example "+key)
	o.Timeout = 5 * time.Second
	return server, o
}

func TestSSHGoesThroughAProxy(t *testing.T) {
	server, o := onExample(t)
	address, through := newSOCKS(t, server.Address)
	good := "socks5://ann:hunter2@" + address
	for _, env := range []string{"ALL_PROXY", "all_proxy"} {
		t.Setenv(env, good)
		s, err := NewSource(o)
		if err != nil {
			t.Fatal(err)
		}
		before := through.Load()
		if _, err := s.Newer(t.Context(), ""); err != nil || through.Load() == before {
			t.Errorf("%s: %v, %d connections", env, err, through.Load()-before)
		}
		w := writing(t, o)
		if _, err := w.Commit(t.Context(), put("a", env)); err != nil {
			t.Errorf("%s: write: %v", env, err)
		}
		t.Setenv(env, "")
	}
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"socks5://ann:hunter3@" + address, "socks5h://ann:hunter2@127.0.0.1:1"} {
		t.Setenv("ALL_PROXY", bad)
		if _, err := s.Newer(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "through the proxy in ALL_PROXY") || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	t.Setenv("ALL_PROXY", good)
	before := through.Load()
	for _, none := range []string{"internal.example,git.example", ".example", "git.example:22", "*"} {
		t.Setenv("NO_PROXY", none)
		if _, err := s.Newer(t.Context(), ""); err == nil || through.Load() != before {
			t.Errorf("NO_PROXY %s: %v, %d connections through the proxy", none, err, through.Load()-before)
		}
	}
}

// Never around a proxy that cannot be used, and never with its password in the error.
func TestUnusableProxiesForSSHAreRefused(t *testing.T) {
	_, o := onExample(t)
	for _, bad := range []string{"http://ann:hunter2@proxy.example:3128", "https://proxy.example", "socks4://proxy.example:1080", "proxy.example:1080",
		"ann:hunter2@proxy.example:1080", "hunter2:@proxy.example", "://hunter2", "socks5://", "socks5://ann:hunter2@:1080", "socks5://ann:hunter2@proxy.example:port", "1"} {
		for _, env := range []string{"ALL_PROXY", "all_proxy"} {
			t.Setenv(env, bad)
			if _, err := NewSource(o); err == nil || !strings.HasPrefix(err.Error(), env+" is no proxy that SSH can go through: want socks5://") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s=%s: %v", env, bad, err)
			}
			t.Setenv("NO_PROXY", "git.example")
			if _, err := NewSource(o); err != nil {
				t.Errorf("%s=%s, where it is not needed: %v", env, bad, err)
			}
			t.Setenv("NO_PROXY", "")
			t.Setenv(env, "")
		}
	}
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALL_PROXY", "http://proxy.example")
	if _, err := s.Newer(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "ALL_PROXY is no proxy") {
		t.Errorf("later: %v", err)
	}
}

// A proxy that accepts and says nothing ends with the time limit, and with the context.
func TestSilentProxiesEnd(t *testing.T) {
	_, o := onExample(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	t.Setenv("ALL_PROXY", "socks5://"+silent.Addr().String())
	o.Timeout = 300 * time.Millisecond
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Newer(t.Context(), ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer within 300ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	s.Timeout = time.Hour
	if _, err := s.Newer(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
