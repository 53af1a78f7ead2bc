package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// guest is a workload beside the games, with a HotPatch of the same name.
type guest struct {
	*scene
	name, file string // file of the HotPatch, in the repository
}

// invite has a workload run, and its HotPatch in the clone, as they stand in a
// folder's deploy/ and hotpatch/. Both go with the test.
func (s *scene) invite(folder, name string, pods int) *guest {
	s.Helper()
	g := &guest{s, name, filepath.Join(name, name+".yaml")}
	s.Cleanup(func() { g.leave(folder + "/deploy") })
	s.must(on.Apply(s.ctx, folder+"/deploy"))
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		lives, err := on.Lives(ctx, name, "main")
		if err == nil && len(lives) != pods {
			err = fmt.Errorf("%d pods of %s run, want %d", len(lives), name, pods)
		}
		return err
	}))
	s.must(os.CopyFS(filepath.Join(s.repo.Dir, name), os.DirFS(filepath.Join(on.Root, folder, "hotpatch"))))
	return g
}

func (g *guest) leave(deploy string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.forget(ctx); err != nil {
		g.Error(err)
	}
	if _, err := on.Kubectl(ctx, "delete", "--wait=false", "-k", filepath.Join(on.Root, deploy)); err != nil {
		g.Error(err)
	}
}

// forget takes the HotPatch out of Git, if it is there.
func (g *guest) forget(ctx context.Context) error {
	dir := filepath.Join(g.repo.Dir, g.name)
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	return errors.Join(os.RemoveAll(dir), g.repo.Push(ctx, "No "+g.name+" any more"))
}

func (g *guest) edit(old, new string) {
	g.Helper()
	g.scene.edit(g.file, old, new)
}

func (g *guest) lives() []stage.Life {
	g.Helper()
	lives, err := on.Lives(g.ctx, g.name, "main")
	g.must(err)
	return lives
}

// is waits until the record says so of the image that the clone asks for, word for
// word, or up to "…".
func (g *guest) is(phase api.Phase, updated, total int, message string) {
	g.Helper()
	file, err := os.ReadFile(filepath.Join(g.repo.Dir, g.file))
	g.must(err)
	wish, err := api.Decode(g.file, file)
	g.must(err)
	want := fmt.Sprintf("%s, %d of %d on %s: %s", phase, updated, total, wish.Spec.Containers[0].Image, message)
	g.must(stage.Eventually(g.ctx, limit, func(ctx context.Context) error {
		status, err := g.repo.Status(ctx, g.name)
		if err != nil {
			return err
		}
		is := fmt.Sprintf("%s, %d of %d on %s: %s", status.Phase, status.Counts.Updated, status.Counts.Total, status.Images["main"], status.Message)
		if begin, open := strings.CutSuffix(want, "…"); is != want && !(open && strings.HasPrefix(is, begin)) {
			err = fmt.Errorf("%s is %s; want %s", g.name, is, want)
		}
		return err
	}))
}
