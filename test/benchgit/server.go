package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// server serves repositories over HTTPS and counts what goes over the wire.
type server struct {
	*gittest.Server
	web   *httptest.Server
	ca    string // file with its authority
	bytes atomic.Int64

	mu    sync.Mutex
	spent map[string]time.Duration // by path
	begun map[string]time.Time
}

func newServer() (*server, error) {
	root, err := os.MkdirTemp("", "benchgit")
	if err != nil {
		return nil, err
	}
	backend, err := gittest.New(root)
	if err != nil {
		return nil, err
	}
	s := &server{Server: backend, ca: filepath.Join(root, "ca.pem"), spent: map[string]time.Duration{}, begun: map[string]time.Time{}}
	s.web = httptest.NewUnstartedServer(http.HandlerFunc(s.timed))
	s.web.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.web.Listener = &counted{s.web.Listener, &s.bytes}
	s.web.StartTLS()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.web.Certificate().Raw})
	return s, os.WriteFile(s.ca, cert, 0o600)
}

func (s *server) close() {
	s.web.Close()
	os.RemoveAll(s.Root)
}

// timed notes when each path was asked for last, and how long that took.
func (s *server) timed(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	s.ServeHTTP(w, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, what, _ := strings.Cut(r.URL.Path, ".git/")
	s.begun[what], s.spent[what] = began, time.Since(began)
}

// counted counts both directions.
type counted struct {
	net.Listener
	bytes *atomic.Int64
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	return &countedConn{conn, c.bytes}, err
}

type countedConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (s *server) url(repo string) string { return s.web.URL + "/" + repo }

func (s *server) options(repo, branch string) gitsource.Options {
	return gitsource.Options{URL: s.url(repo), Branch: branch, Auth: gitsource.Auth{CAFile: s.ca}}
}

// git runs git, which trusts this server.
func (s *server) git(ctx context.Context, in io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_SSL_CAINFO="+s.ca, "GIT_CONFIG_NOSYSTEM=1", "HOME="+s.Root)
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// commit puts files onto a repository's main branch, as git fast-import does.
func (s *server) commit(ctx context.Context, repo string, first bool, files func(put func(name, content string))) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "commit refs/heads/main\ncommitter Ann <ann@example.org> %d +0000\ndata 4\nnext\n", time.Now().Unix())
	if !first {
		b.WriteString("from refs/heads/main^0\n")
	}
	files(func(name, content string) {
		fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", name, len(content), content)
	})
	return s.git(ctx, &b, "-C", filepath.Join(s.Root, repo), "fast-import", "--quiet")
}

// manyFiles makes a repository of so many files, a hundred in a directory.
func (s *server) manyFiles(ctx context.Context, repo string, files int, content func(int) string) error {
	if err := s.Init(ctx, repo); err != nil {
		return err
	}
	return s.commit(ctx, repo, true, func(put func(name, content string)) {
		for i := range files {
			put(fmt.Sprintf("games/%04d/%02d.yaml", i/100, i%100), content(i))
		}
	})
}
