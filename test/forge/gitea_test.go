// Package forge has the reconciler follow a repository on a real forge, Gitea: with
// tokens and keys that Gitea checks, branches that it protects, deliveries that it
// signs, and statuses that it shows. `make forge` builds Gitea first.
package forge

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "code.gitea.io/sdk/gitea"
)

// gitea is a server of its own, for one test.
type gitea struct {
	t         *testing.T
	dir       string
	url, ssh  string // http://127.0.0.1:PORT and 127.0.0.1:PORT
	token     string // of its administrator, who is called op
	client    *sdk.Client
	tokenFile string
}

const settings = `
RUN_USER = root
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[2]s
ROOT_URL = http://127.0.0.1:%[2]s/
STATIC_ROOT_PATH = %[4]s
START_SSH_SERVER = true
BUILTIN_SSH_SERVER_USER = git
SSH_DOMAIN = 127.0.0.1
SSH_LISTEN_HOST = 127.0.0.1
SSH_LISTEN_PORT = %[3]s
SSH_PORT = %[3]s
SSH_SERVER_HOST_KEYS = %[1]s/hostkey
OFFLINE_MODE = true
[database]
DB_TYPE = sqlite3
PATH = %[1]s/gitea.db
[repository]
ROOT = %[1]s/repositories
[security]
INSTALL_LOCK = true
[webhook]
ALLOWED_HOST_LIST = loopback
[indexer]
ISSUE_INDEXER_TYPE = db
[actions]
ENABLED = false
[log]
MODE = console
LEVEL = info
`

// start runs Gitea until the test ends, with one administrator and his token.
func start(t *testing.T) *gitea {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, ".cluster/bin/gitea")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: it is built by make forge", err)
	}
	g := &gitea{t: t, dir: t.TempDir(), url: "http://" + free(t), ssh: free(t)}
	web := strings.TrimPrefix(g.url, "http://")
	pages := g.run("go", "-C", filepath.Join(root, "test/forge/gitea"), "list", "-m", "-f", "{{.Dir}}", "code.gitea.io/gitea")
	g.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", g.file("hostkey"))
	config := fmt.Sprintf(settings, g.dir, port(web), port(g.ssh), pages)
	g.write("app.ini", config)

	served := exec.Command(program, "--work-path", g.dir, "--config", g.file("app.ini"), "web")
	var said bytes.Buffer
	served.Stdout, served.Stderr = &said, &said
	served.Env = append(os.Environ(), "HOME="+g.dir)
	if err := served.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- served.Wait() }()
	t.Cleanup(func() {
		served.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("Gitea said:\n%s", said.Bytes())
		}
	})
	g.eventually("Gitea answers", func() error {
		if len(ended) > 0 {
			t.Fatal("Gitea has ended")
		}
		answer, err := http.Get(g.url + "/api/healthz")
		if err == nil {
			answer.Body.Close()
		}
		return err
	})
	admin := func(args ...string) string {
		return g.run(program, append([]string{"--work-path", g.dir, "--config", g.file("app.ini"), "admin", "user"}, args...)...)
	}
	admin("create", "--admin", "--username", "op", "--password", "a password for op", "--email", "op@example.org", "--must-change-password=false")
	words := strings.Fields(admin("generate-access-token", "--username", "op", "--token-name", "t", "--scopes", "all", "--raw"))
	g.token = words[len(words)-1]
	g.tokenFile = g.write("token", g.token)
	if g.client, err = sdk.NewClient(g.url, sdk.SetToken(g.token), sdk.SetGiteaVersion("")); err != nil {
		t.Fatal(err)
	}
	return g
}

// free is an address of this machine that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

func (g *gitea) file(name string) string { return filepath.Join(g.dir, name) }

func (g *gitea) write(name, content string) string {
	g.t.Helper()
	g.must(os.WriteFile(g.file(name), []byte(content), 0o600))
	return g.file(name)
}

func (g *gitea) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// run is what a program says, without the space around it.
func (g *gitea) run(program string, args ...string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// eventually waits for what becomes true within two minutes and a half: what was
// refused is tried again after two at the latest.
func (g *gitea) eventually(what string, is func() error) {
	g.t.Helper()
	var err error
	for end := time.Now().Add(150 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = is(); err == nil {
			return
		}
	}
	g.t.Fatalf("%s: not so in time: %v", what, err)
}

// repository makes an empty one of op's, and a clone to work in.
func (g *gitea) repository(name string) (url, clone string) {
	g.t.Helper()
	_, _, err := g.client.CreateRepo(sdk.CreateRepoOption{Name: name, Private: true})
	g.must(err)
	clone = filepath.Join(g.t.TempDir(), name)
	g.run("git", "init", "-q", "-b", "main", clone)
	for _, setting := range [][2]string{{"user.name", "Ann"}, {"user.email", "ann@example.org"},
		{"remote.origin.url", strings.Replace(g.url, "//", "//op:"+g.token+"@", 1) + "/op/" + name + ".git"}} {
		g.run("git", "-C", clone, "config", setting[0], setting[1])
	}
	return g.url + "/op/" + name + ".git", clone
}

// push commits a file and returns the commit.
func (g *gitea) push(clone, file, content string) string {
	g.t.Helper()
	g.must(os.WriteFile(filepath.Join(clone, file), []byte(content), 0o644))
	g.run("git", "-C", clone, "add", "-A")
	g.run("git", "-C", clone, "commit", "-q", "-m", "Change "+file)
	g.run("git", "-C", clone, "push", "-q", "origin", "HEAD:main")
	return g.run("git", "-C", clone, "rev-parse", "HEAD")
}
