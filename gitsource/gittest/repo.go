package gittest

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Repo is a repository on a test's server, and a clone to work in.
type Repo struct {
	*Server
	URL  string // over HTTP
	Bare string // directory of the repository itself
	dir  string // of the clone
	t    testing.TB
}

// NewRepo starts a server with one repository that has one commit on main.
func NewRepo(t testing.TB) *Repo {
	t.Helper()
	server, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Init(t.Context(), "repo.git"); err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	r := &Repo{Server: server, URL: listener.URL + "/repo.git", Bare: filepath.Join(server.Root, "repo.git"), dir: t.TempDir(), t: t}
	r.Git("-C", r.Bare, "config", "receive.denyDeleteCurrent", "ignore")
	r.Git("clone", "-q", "file://"+r.Bare, ".")
	r.Commit(map[string]string{"README.md": "first\n"}, "first")
	return r
}

// Git runs git in the clone and returns what it says.
func (r *Repo) Git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann",
		"GIT_COMMITTER_EMAIL=ann@example.org", "GIT_CONFIG_NOSYSTEM=1", "HOME="+r.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Commit writes files, commits them to the branch the clone is on, pushes, and
// returns the commit.
func (r *Repo) Commit(files map[string]string, message string) string {
	r.t.Helper()
	for name, content := range files {
		file := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.Git("add", "-A")
	r.Git("commit", "-q", "--allow-empty", "-m", message)
	r.Git("push", "-q", "-f", "origin", "HEAD")
	return r.Git("rev-parse", "HEAD")
}

// Show is a file on a branch of the server; "" if it is not there.
func (r *Repo) Show(branch, name string) string {
	cmd := exec.Command("git", "show", branch+":"+name)
	cmd.Dir = r.Bare
	out, _ := cmd.Output()
	return string(out)
}

// Log is the subjects of a branch on the server, newest first.
func (r *Repo) Log(branch string) []string {
	cmd := exec.Command("git", "log", "--format=%s", branch)
	cmd.Dir = r.Bare
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// Hook installs a hook of the server's repository.
func (r *Repo) Hook(name, script string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.Bare, "hooks", name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		r.t.Fatal(err)
	}
}
