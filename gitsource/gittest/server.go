// Package gittest is a real Git server for tests: bare repositories of a
// directory, served over smart HTTP by git itself. Faults are put in by the
// name of the place where they strike.
package gittest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Site is a place where a fault can strike.
type Site string

// The sites. A server that speaks version 2 of the protocol is greeted before refs
// are listed for a fetch.
const (
	Greet        Site = "greet"
	ListForFetch Site = "list refs for fetch"
	Fetch        Site = "fetch"
	ListForPush  Site = "list refs for push"
	Push         Site = "push"
)

// Fault handles a request instead of Git; it returns false to let Git have it
// after all.
type Fault func(w http.ResponseWriter, r *http.Request) bool

// Server serves the repositories below a directory.
type Server struct {
	Root string
	// User and Password are asked for if set.
	User, Password string
	// Old has it speak no version 2 of Git's protocol.
	Old bool
	// Pushed is called after each push that was answered. May be nil.
	Pushed func(repo string)

	backend string
	mu      sync.Mutex
	faults  map[Site]Fault
	seen    map[Site]int
}

// New makes a server of the repositories below root.
func New(root string) (*Server, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("git is needed: %w", err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return nil, fmt.Errorf("git's HTTP backend is needed: %w", err)
	}
	return &Server{Root: root, backend: backend, faults: map[Site]Fault{}, seen: map[Site]int{}}, nil
}

// Init makes a bare repository that takes pushes, unless it is there. It is not
// tidied up: a push would wait for that, and nobody keeps it long.
func (s *Server) Init(ctx context.Context, name string) error {
	dir := filepath.Join(s.Root, name)
	if _, err := os.Stat(filepath.Join(dir, "HEAD")); err == nil {
		return nil
	}
	for _, args := range [][]string{{"init", "-q", "--bare", "-b", "main", dir},
		{"-C", dir, "config", "http.receivepack", "true"}, {"-C", dir, "config", "receive.autogc", "false"}} {
		if out, err := exec.CommandContext(ctx, "git", args...).CombinedOutput(); err != nil {
			return errors.Join(err, errors.New(string(out)))
		}
	}
	return nil
}

// Break puts a fault at a site; nil takes it away.
func (s *Server) Break(at Site, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[at] = f
}

// Seen is how many requests came to a site.
func (s *Server) Seen(at Site) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[at]
}

// ServeHTTP is git's smart HTTP.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); s.Password != "" && (user != s.User || password != s.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	at := siteOf(r)
	if s.Old {
		r.Header.Del("Git-Protocol")
	}
	s.mu.Lock()
	s.seen[at]++
	fault := s.faults[at]
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.Backend().ServeHTTP(w, r)
	if at == Push && s.Pushed != nil {
		s.Pushed(strings.Trim(strings.TrimSuffix(r.URL.Path, "/git-receive-pack"), "/"))
	}
}

// Backend is Git itself, without faults.
func (s *Server) Backend() http.Handler {
	return &cgi.Handler{Path: s.backend, Dir: s.Root, Env: []string{
		"GIT_PROJECT_ROOT=" + s.Root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=operator", "GIT_CONFIG_NOSYSTEM=1",
	}, InheritEnv: []string{"PATH", "HOME"}}
}

// siteOf looks into what is asked: version 2 has one address for everything.
func siteOf(r *http.Request) Site {
	push := strings.HasSuffix(r.URL.Path, "git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack"
	list := strings.HasSuffix(r.URL.Path, "/info/refs")
	newer := r.Header.Get("Git-Protocol") == "version=2"
	switch {
	case push && list:
		return ListForPush
	case push:
		return Push
	case list && newer:
		return Greet
	case list:
		return ListForFetch
	case !newer:
		return Fetch
	}
	body := bufio.NewReader(r.Body)
	begins, err := body.Peek(len("0014command=ls-refs"))
	r.Body = struct {
		io.Reader
		io.Closer
	}{body, r.Body}
	if err == nil && strings.HasSuffix(string(begins), "command=ls-refs") {
		return ListForFetch
	}
	return Fetch
}
