// Package e2e plays what operators do on the real cluster: every line of the
// demo, and what goes wrong on the way. One function is one behaviour. Those that have
// workloads of their own, and do nothing to the nodes and to Hotpatch, are parallel:
// they run when all others have.
//
// It needs the cluster of `make cluster` with the images of `make images`;
// `make e2e` does all of it.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// limit of one change that all pods make.
const limit = 60 * time.Second

var on *stage.Stage

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if on, err = stage.Open(); err != nil {
		return 0, err
	}
	if err := on.Install(ctx, func(what string) { fmt.Println("stage:", what) }); err != nil {
		return 0, err
	}
	code = m.Run()
	return code, on.StopGit() // the cluster is ended by make, the Git server by us
}

// scene is one test: a fresh clone of the repository, with everything on v1.
type scene struct {
	*testing.T
	ctx  context.Context
	repo *stage.Repo
}

func open(t *testing.T) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	repo, err := stage.Clone(ctx, stage.RepoURL, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{T: t, ctx: ctx, repo: repo}
	s.reset()
	t.Cleanup(func() {
		if t.Failed() {
			s.explain()
		}
	})
	return s
}

// reset pushes the examples as they are, whatever an earlier test left.
func (s *scene) reset() {
	s.Helper()
	s.must(on.Examples(s.ctx, s.repo))
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.settled("game-2048", api.PhaseComplete, 2, 2)
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) edit(file, old, new string) {
	s.Helper()
	s.must(s.repo.Replace(file, old, new))
}

func (s *scene) push(message string) {
	s.Helper()
	s.must(s.repo.Push(s.ctx, message))
}

// settled waits until the record says so of what was pushed.
func (s *scene) settled(name string, phase api.Phase, updated, total int) api.HotPatchStatus {
	s.Helper()
	status, err := on.Settled(s.ctx, s.repo, name, phase, updated, total, limit)
	s.must(err)
	return status
}

func (s *scene) lives() []stage.Life {
	s.Helper()
	lives, err := on.Lives(s.ctx, "game-server", "main")
	s.must(err)
	if len(lives) != 8 {
		s.Fatalf("%d game servers run, want 8", len(lives))
	}
	return lives
}

// gather lets players join every game server.
func (s *scene) gather() *stage.Crowd {
	s.Helper()
	crowd, err := on.Gather(s.ctx, "game-server", 4, 10*time.Millisecond)
	s.must(err)
	s.Cleanup(crowd.Leave)
	return crowd
}

// versions counts what the players' connections, opened before, are served by.
func (s *scene) versions(crowd *stage.Crowd) map[string]int {
	s.Helper()
	count, err := crowd.Versions()
	s.must(err)
	return count
}

// explain shows what the programs said.
func (s *scene) explain() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, what := range []string{"deployment/hotpatch-reconciler", "daemonset/hotpatch-agent"} {
		out, _ := on.Kubectl(ctx, "-n", stage.System, "logs", what, "--tail=40", "--all-containers")
		s.Logf("%s:\n%s", what, out)
	}
	out, _ := s.repo.Story(ctx, 15)
	s.Logf("hotpatch-status:\n%s", out)
}
