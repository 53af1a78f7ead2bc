package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/test/stage"
)

// gamePage is a Deployment that gets its sidecar from the component, in a namespace of
// its own that is called as its folder in testdata, and the HotPatch of its page.
type gamePage struct {
	*scene
	namespace string
	want      string // what the repository has as the page
}

// begin has nothing of it on the stage yet but the namespace.
func begin(t *testing.T, namespace string) *gamePage {
	t.Helper()
	g := &gamePage{scene: open(t), namespace: namespace}
	t.Cleanup(g.end)
	want, err := os.ReadFile(filepath.Join(on.Root, "test/e2e/testdata/games/hotpatch/files/index.html"))
	g.must(err)
	g.want = string(want)
	g.kubectl("create", "namespace", namespace)
	return g
}

func (g *gamePage) deploy() string { return "test/e2e/testdata/" + g.namespace + "/deploy" }

// applied waits for the pod; its sidecar keeps nginx from starting without its files.
func (g *gamePage) applied() {
	g.Helper()
	g.must(on.Apply(g.ctx, g.deploy()))
	g.kubectl("-n", g.namespace, "rollout", "status", "deployment/page", "--timeout=60s")
}

// released pushes the HotPatch, waits until the record says that the pod has the page,
// and is the pod's address.
func (g *gamePage) released() (ip string) {
	g.Helper()
	dir := filepath.Join(g.repo.Dir, g.namespace)
	g.must(os.CopyFS(dir, os.DirFS(filepath.Join(on.Root, "test/e2e/testdata/games/hotpatch"))))
	if g.namespace != "games" {
		g.edit(g.namespace+"/page.yaml", "namespace: games", "namespace: "+g.namespace)
	}
	g.push("The page of " + g.namespace + " has a repository now")
	g.must(stage.Eventually(g.ctx, limit, func(ctx context.Context) error {
		out, err := on.Hotpatch(ctx, "status", "page", "-n", g.namespace, "--repo", stage.RepoURL, "-o", "json")
		if err == nil {
			err = contains(out, `"phase": "Complete"`, `"updated": 1`)
		}
		return err
	}))
	return g.ip()
}

func (g *gamePage) get(args ...string) string {
	g.Helper()
	return g.kubectl(append([]string{"-n", g.namespace, "get"}, args...)...)
}

func (g *gamePage) ip() string {
	g.Helper()
	return g.get("pod", "-l", "app=page", "-o", "jsonpath={.items[0].status.podIP}")
}

func (g *gamePage) serves(ip, want string) {
	g.Helper()
	if got, err := stage.Get(g.ctx, "http://"+ip+"/"); err != nil || got != want {
		g.Errorf("nginx serves %.60q, %v", got, err)
	}
}

// A workload with the sidecar's component gets its file; the sidecar takes it
// from the reconciler and from nobody else.
func TestComponentAddsTheSidecar(t *testing.T) {
	t.Parallel()
	g := begin(t, "games")
	g.applied()
	ip := g.released()
	g.serves(ip, g.want)
	if err := g.post(ip, "version=v9&url="+g.serve("/index.html", "rogue")); err == nil || !strings.Contains(err.Error(), "unauthorized: send a token") {
		t.Errorf("to somebody without a token the sidecar says %v", err)
	}
	g.serves(ip, g.want)
	g.nextPageHasItsFile()
}

// nextPageHasItsFile takes the pod away: the next one, of another name, has its
// file before nginx starts, by its workload's record.
func (g *gamePage) nextPageHasItsFile() {
	g.Helper()
	const pods = "jsonpath={.items[*].metadata.name}"
	g.kubectl("-n", g.namespace, "delete", "pod", g.get("pod", "-l", "app=page", "-o", pods), "--wait")
	g.kubectl("-n", g.namespace, "rollout", "status", "deployment/page", "--timeout=90s")
	g.serves(g.ip(), g.want)
	now := g.get("pod", "-l", "app=page", "-o", pods)
	g.must(stage.Eventually(g.ctx, limit, func(context.Context) error {
		data := g.get("configmap", "-o", "jsonpath={.items[*].data}")
		if !strings.Contains(data, "Deployment_page_"+now) {
			return fmt.Errorf("there is no record of %s in %s", now, data)
		}
		return nil
	}))
}

// end takes it off the stage again.
func (g *gamePage) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := os.RemoveAll(filepath.Join(g.repo.Dir, g.namespace)); err != nil {
		g.Error(err)
	}
	if out, err := g.repo.Git(ctx, "status", "--porcelain"); err != nil || out != "" {
		if err := g.repo.Push(ctx, "No page in "+g.namespace+" any more"); err != nil {
			g.Error(err)
		}
	}
	if _, err := on.Kubectl(ctx, "delete", "--ignore-not-found", "--wait", "--timeout=50s", "-k", filepath.Join(on.Root, g.deploy())); err != nil {
		g.Error(err)
	}
}
