package forge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	sdk "code.gitea.io/sdk/gitea"

	"hotpatch.dev/hotpatch/gitsource"
)

const kustomization = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: default
resources: [game.yaml]
`

func hotPatch(name string) string {
	return `apiVersion: hotpatch.dev/v1alpha1
kind: HotPatch
metadata: {name: ` + name + `}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: game}
  containers:
  - {name: main, image: "registry.example/game@sha256:` + strings.Repeat("a", 64) + `"}
`
}

// The whole story on a forge: a push is told of by a signed delivery, and by nothing
// else within the hour; results are committed; what became of the commit stands
// beside it; a protected branch refuses results in words, and has them once it lets.
// There is no cluster, so that what becomes of all commits is that.
func TestTheReconcilerFollowsAForge(t *testing.T) {
	g := start(t)
	repo, clone := g.repository("games")
	r := g.reconcile(repo)
	g.must(os.WriteFile(filepath.Join(clone, "kustomization.yaml"), []byte(kustomization), 0o644))
	first := g.push(clone, "game.yaml", hotPatch("game"))
	g.recorded(clone, "game", first)
	g.showsFailure(first)

	protection, _, err := g.client.CreateBranchProtection("op", "games", sdk.CreateBranchProtectionOption{RuleName: "hotpatch-status", EnablePush: false})
	g.must(err)
	second := g.push(clone, "game.yaml", hotPatch("game")+"---\n"+hotPatch("arena"))
	g.eventually("the refusal is told", func() error {
		if is := r.get("/readyz"); !strings.Contains(is, "results are not committed yet: the Git server refuses commits to hotpatch-status") || !strings.Contains(is, "protected branch") {
			return errors.New(is)
		}
		return nil
	})
	g.showsFailure(second)
	_, err = g.client.DeleteBranchProtection("op", "games", protection.RuleName)
	g.must(err)
	g.recorded(clone, "arena", second)
	g.eventually("nothing waits", func() error {
		if is := r.get("/readyz"); is != "ok\n" {
			return errors.New(is)
		}
		return nil
	})
	metrics := r.get("/metrics")
	for _, line := range []string{`hotpatch_webhooks_total{result="taken"} 2`, `hotpatch_commit_statuses_total{result="shown"}`, `hotpatch_status_commits_total{result="refused"}`} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics lack %s", line)
		}
	}
	if strings.Contains(r.said.String(), g.token) {
		t.Error("the log has the token")
	}
}

// recorded waits until the record of a HotPatch tells of a commit.
func (g *gitea) recorded(clone, name, commit string) {
	g.t.Helper()
	g.eventually("the record of "+name+" tells of "+commit, func() error {
		cmd := exec.Command("git", "-C", clone, "fetch", "-q", "origin", "+hotpatch-status:refs/remotes/origin/hotpatch-status")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		record, err := exec.Command("git", "-C", clone, "show", "origin/hotpatch-status:clusters/box/default/"+name+".yaml").Output()
		if err == nil && (!strings.Contains(string(record), commit) || !strings.Contains(string(record), "phase: Degraded")) {
			err = errors.New(string(record))
		}
		return err
	})
}

// showsFailure waits until it stands beside a commit.
func (g *gitea) showsFailure(commit string) {
	g.t.Helper()
	g.eventually("Gitea shows a status", func() error {
		all, _, err := g.client.ListStatuses("op", "games", commit, sdk.ListStatusesOption{})
		if err == nil && (len(all) != 1 || all[0].Context != "hotpatch/box" || all[0].State != sdk.StatusFailure || !strings.Contains(all[0].Description, ": spec.target: ")) {
			var is []string
			for _, s := range all {
				is = append(is, fmt.Sprintf("%s %s: %s", s.Context, s.State, s.Description))
			}
			err = fmt.Errorf("there are %q", is)
		}
		return err
	})
}

// reconciler is the real one, as a process.
type reconciler struct {
	g    *gitea
	url  string
	said bytes.Buffer
}

// reconcile runs it until the test ends, for a cluster that never answers, and has
// Gitea tell it of pushes.
func (g *gitea) reconcile(repo string) *reconciler {
	g.t.Helper()
	address := free(g.t)
	r := &reconciler{g: g, url: "http://" + address}
	secret := g.write("secret", "open sesame")
	kubeconfig := g.write("kubeconfig", `{apiVersion: v1, kind: Config, current-context: none, contexts: [{name: none, context: {cluster: none, user: none}}],
clusters: [{name: none, cluster: {server: "http://`+free(g.t)+`"}}], users: [{name: none, user: {}}]}`)
	cmd := exec.Command("../../bin/hotpatch-reconciler", "--repo", repo, "--git-password-file", g.tokenFile, "--cluster", "box", "--interval", "1h",
		"--kubeconfig", kubeconfig, "--leader-elect=false", "--listen", address, "--webhook-secret-file", secret, "--commit-status", "gitea")
	cmd.Stdout, cmd.Stderr = &r.said, &r.said
	g.must(cmd.Start())
	g.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if g.t.Failed() {
			g.t.Logf("the reconciler said:\n%s", r.said.Bytes())
		}
	})
	g.eventually("the reconciler listens", func() error {
		answer, err := http.Get(r.url + "/healthz")
		if err == nil {
			answer.Body.Close()
		}
		return err
	})
	_, _, err := g.client.CreateRepoHook("op", "games", sdk.CreateHookOption{Type: "gitea", Active: true, Events: []string{"push"}, BranchFilter: "main",
		Config: map[string]string{"url": r.url + "/webhook", "content_type": "json", "secret": "open sesame"}})
	g.must(err)
	return r
}

func (r *reconciler) get(path string) string {
	answer, err := http.Get(r.url + path)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// Each way to say who one is: what is read and what is written go through it.
func TestEachCredentialIsTaken(t *testing.T) {
	g := start(t)
	repo, clone := g.repository("games")
	g.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", g.file("key"))
	public, err := os.ReadFile(g.file("key.pub"))
	g.must(err)
	_, _, err = g.client.CreatePublicKey(sdk.CreateKeyOption{Title: "key", Key: string(public)})
	g.must(err)
	hostKey, err := os.ReadFile(g.file("hostkey.pub"))
	g.must(err)
	hosts := g.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%s %s", port(g.ssh), hostKey))
	password, user := g.write("password", "a password for op"), g.write("user", "op")
	wrong := g.write("wrong", "open sesame")
	overSSH := "ssh://git@" + g.ssh + "/op/games.git"
	for name, c := range map[string]struct {
		url     string
		auth    gitsource.Auth
		refusal string
	}{
		"a bearer token":      {repo, gitsource.Auth{TokenFile: g.tokenFile}, ""},
		"a token as password": {repo, gitsource.Auth{PasswordFile: g.tokenFile}, ""},
		"user and password":   {repo, gitsource.Auth{UsernameFile: user, PasswordFile: password}, ""},
		"a key":               {overSSH, gitsource.Auth{SSHKeyFile: g.file("key"), KnownHostsFile: hosts}, ""},
		"a wrong token":       {repo, gitsource.Auth{TokenFile: wrong}, "check the credential files"},
		"nothing":             {repo, gitsource.Auth{}, "check"},
		"an unknown key":      {overSSH, gitsource.Auth{SSHKeyFile: g.file("hostkey"), KnownHostsFile: hosts}, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			tip := g.push(clone, "told", name)
			source, err := gitsource.NewSource(gitsource.Options{URL: c.url, Branch: "main", Auth: c.auth})
			g.must(err)
			read, err := source.Newer(t.Context(), "")
			if c.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), c.refusal) {
					t.Errorf("read %+v, %v; want an error that says %q", read, err, c.refusal)
				}
				return
			}
			if err != nil || read.Commit != tip {
				t.Fatalf("read %+v, %v; want %s", read, err, tip)
			}
			writer, err := gitsource.NewWriter(gitsource.WriterOptions{Options: gitsource.Options{URL: c.url, Branch: "results", Auth: c.auth}, Author: gitsource.Person{Name: "Hotpatch", Email: "hotpatch@box"}})
			g.must(err)
			commit, err := writer.Commit(t.Context(), gitsource.Change{Files: map[string][]byte{"said": []byte(name)}, Subject: name})
			if err != nil {
				t.Fatal(err)
			}
			if is := g.run("git", "-C", clone, "ls-remote", "origin", "refs/heads/results"); !strings.HasPrefix(is, commit) {
				t.Errorf("Gitea has %s, want %s", is, commit)
			}
		})
	}
}

// What a poll costs does not grow with what else there is.
func TestAPollAsksForOneBranch(t *testing.T) {
	g := start(t)
	repo, clone := g.repository("games")
	tip := g.push(clone, "game.yaml", "game")
	var refs strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&refs, "create refs/tags/build-%d %s\n", i, tip)
	}
	bare := exec.Command("git", "-C", g.file("repositories/op/games.git"), "update-ref", "--stdin")
	bare.Stdin = strings.NewReader(refs.String())
	if out, err := bare.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var bytesRead atomic.Int64
	to, err := url.Parse(g.url)
	g.must(err)
	counts := httputil.NewSingleHostReverseProxy(to)
	counts.ModifyResponse = func(answer *http.Response) error {
		answer.Body = counted{answer.Body, &bytesRead}
		return nil
	}
	proxy := httptest.NewServer(counts)
	defer proxy.Close()
	source, err := gitsource.NewSource(gitsource.Options{URL: strings.Replace(repo, g.url, proxy.URL, 1), Branch: "main", Auth: gitsource.Auth{PasswordFile: g.tokenFile}})
	g.must(err)
	read, err := source.Newer(t.Context(), "")
	g.must(err)
	bytesRead.Store(0)
	again, err := source.Newer(t.Context(), read.Commit)
	if again != nil || err != nil {
		t.Fatalf("nothing is new, and read is %+v, %v", again, err)
	}
	if n := bytesRead.Load(); n == 0 || n > 1024 {
		t.Errorf("a poll took %d bytes beside 3,000 tags", n)
	}
	next := g.push(clone, "game.yaml", "another game")
	bytesRead.Store(0)
	if read, err = source.Newer(t.Context(), read.Commit); err != nil || read.Commit != next {
		t.Fatalf("read %+v, %v; want %s", read, err, next)
	}
	if n := bytesRead.Load(); n > 4096 {
		t.Errorf("a push of one line took %d bytes", n)
	}
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}
