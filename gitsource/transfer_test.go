package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// slow lets so many bytes pass in a second, and after so many none.
type slow struct {
	io.Writer
	t      *testing.T
	second int
	most   int
}

func (s *slow) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:min(len(p), n+s.second/20)]
		if s.most -= len(piece); s.most < 0 {
			<-s.t.Context().Done()
		}
		time.Sleep(time.Duration(len(piece)) * time.Second / time.Duration(s.second))
		_, err = s.Writer.Write(piece)
		n += len(piece)
	}
	return n, err
}

// overASlowLine is a source for each way to talk to a server, that has 400 KB to send.
func overASlowLine(t *testing.T, second, most int, try func(t *testing.T, what string, s *Source)) {
	for name, c := range map[string]struct{ old, overSSH bool }{
		"HTTP": {}, "HTTP, an older one": {old: true}, "SSH": {overSSH: true}, "SSH, an older one": {overSSH: true, old: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings := gittest.AcceptVersion2
			if c.old {
				settings = ""
			}
			repo, server, o := onSSH(t, ssh.KeyAlgoED25519, settings)
			files := map[string]string{}
			for i := range 20 {
				files[fmt.Sprint(i)] = large(byte(i))
			}
			want := repo.Commit(files, "much")
			through := func(address string) string {
				return between(t, address, func(to io.Writer) io.Writer { return &slow{to, t, second, most} })
			}
			if repo.Old = c.old; c.overSSH {
				shell := through(server.Address)
				host, port, _ := net.SplitHostPort(shell)
				_, key, _ := strings.Cut(server.KnownHosts[ssh.KeyAlgoED25519], " ")
				o.URL = "ssh://root@" + shell + repo.Bare
				o.Auth.KnownHostsFile = private(t, fmt.Sprintf("[%s]:%s %s", host, port, key))
			} else {
				o.URL = "http://" + through(strings.Split(repo.URL, "/")[2]) + "/repo.git"
			}
			o.Timeout = 2 * time.Second
			s, err := NewSource(o)
			if err != nil {
				t.Fatal(err)
			}
			try(t, want, s)
		})
	}
}

// A transfer takes longer in all than a server may be silent, but it never is.
func TestASlowTransferIsNotGivenUp(t *testing.T) {
	overASlowLine(t, 100_000, 1<<30, func(t *testing.T, want string, s *Source) {
		snap, err := s.Newer(t.Context(), "")
		if err != nil || snap.Commit != want {
			t.Fatalf("%+v, %v", snap, err)
		}
		holds(t, snap, "7", large(7))
	})
}

// One that comes to a standstill is, and so is one that does not end.
func TestATransferIsGivenUp(t *testing.T) {
	overASlowLine(t, 1_000_000, 100_000, func(t *testing.T, _ string, s *Source) {
		if _, err := s.Newer(t.Context(), ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "fetch from") || !strings.Contains(err.Error(), "did not answer within 2s") {
			t.Errorf("at a standstill: %v", err)
		}
	})
}

func TestATransferThatDoesNotEndIsGivenUp(t *testing.T) {
	overASlowLine(t, 50_000, 1<<30, func(t *testing.T, _ string, s *Source) {
		s.longest, s.Timeout = 3*time.Second, time.Minute
		if _, err := s.Newer(t.Context(), ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "fetch from") || !strings.Contains(err.Error(), "it took longer than 3s in all") {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := s.Newer(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}
