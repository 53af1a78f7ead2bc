package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// hall invites four servers that are Ready while their doors are open, under a name of
// the test's own. They are open, and the servers on v1.
func (s *scene) hall(name string) *guest {
	s.Helper()
	folder := ".cluster/halls/" + name
	s.must(os.RemoveAll(filepath.Join(on.Root, folder)))
	from := os.DirFS(filepath.Join(on.Root, "test/e2e/testdata/hall"))
	s.must(fs.WalkDir(from, ".", func(file string, entry fs.DirEntry, err error) error {
		to := filepath.Join(on.Root, folder, file)
		if err != nil || entry.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o755))
		}
		text, err := fs.ReadFile(from, file)
		return errors.Join(err, os.WriteFile(strings.ReplaceAll(to, "hall.yaml", name+".yaml"), []byte(strings.ReplaceAll(string(text), "hall", name)), 0o644))
	}))
	g := s.invite(folder, name, 4)
	for i := range 4 {
		g.doors(i, true)
	}
	s.push("The servers of " + name + " as they run today")
	g.is(api.PhaseComplete, 4, 4, "")
	g.told()
	return g
}

// told waits until all pods were told of something, and are there: Complete they are
// before that, where they were started on what Git says.
func (g *guest) told() {
	g.Helper()
	g.must(stage.Eventually(g.ctx, limit, func(ctx context.Context) error {
		pods, err := on.Pods(ctx, g.name)
		for _, pod := range pods {
			if desired(pod).Revision == "" || isChanging(pod) {
				err = fmt.Errorf("pod %s was told of nothing, or is changing", pod.Name)
			}
		}
		return err
	}))
}

// doors opens a server's, or closes them, and waits for kubelet to see it.
func (g *guest) doors(i int, are bool) {
	g.Helper()
	said, pod := "False", g.pod(i)
	if are {
		said = "True"
	}
	g.kubectl("-n", stage.Namespace, "patch", "pod", pod, "--subresource=status", "-p",
		`{"status":{"conditions":[{"type":"example.org/doors","status":"`+said+`"}]}}`)
	g.kubectl("-n", stage.Namespace, "wait", "pod", pod, "--for=condition=Ready="+said, "--timeout=20s")
}

func (g *guest) pod(i int) string { return fmt.Sprintf("%s-%d", g.name, i) }

// policy is all that the HotPatch says of its rollout, by the line.
func (g *guest) policy(lines ...string) {
	g.Helper()
	file := filepath.Join(g.repo.Dir, g.file)
	text, err := os.ReadFile(file)
	g.must(err)
	before, _, _ := strings.Cut(string(text), "  rollout:\n")
	g.must(os.WriteFile(file, []byte(before+"  rollout:\n    "+strings.Join(lines, "\n    ")+"\n"), 0o644))
}

// changed is when each pod changed last, by its agent's clock.
func (g *guest) changed() (when []time.Time) {
	g.Helper()
	pods, err := on.Pods(g.ctx, g.name)
	g.must(err)
	for _, pod := range pods {
		o, err := stage.Observed(pod)
		g.must(err)
		when = append(when, o.Containers[0].Time)
	}
	return when
}

// runs is the version that each pod serves.
func (g *guest) runs() (versions []string) {
	g.Helper()
	pods, err := on.Pods(g.ctx, g.name)
	g.must(err)
	for _, pod := range pods {
		answer, err := stage.Ask(pod.Name, pod.Status.PodIP+":7777")
		g.must(err)
		versions = append(versions, answer.Version)
	}
	return versions
}

// run says so where the pods do not serve these versions.
func (g *guest) run(want ...string) {
	g.Helper()
	if got := g.runs(); !slices.Equal(got, want) {
		g.Errorf("the servers of %s run %s, want %s", g.name, got, want)
	}
}
