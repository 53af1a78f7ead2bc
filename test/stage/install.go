package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/crane"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Install has Hotpatch, the examples' workloads, the Git server and its
// repository on the stage, all as they are built now and on v1.
func (s *Stage) Install(ctx context.Context, say func(string)) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"Hotpatch installed: kubectl apply -k manifests/overlays/box", s.apply(system)},
		{"the examples' workloads started: kubectl apply -k examples/…/deploy", s.apply(workloads...)},
		{"Git server started, examples pushed to " + RepoURL, s.publish},
		{"reconciler and agent ready", s.systemReady},
		{"8 game servers and 2 nginx pods ready", s.examplesReady},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		say(step.name)
	}
	return nil
}

// What is applied to the cluster, in this order.
const system = "manifests/overlays/box"

var workloads = []string{"examples/hot-patch/deploy", "examples/hot-update/deploy"}

func (s *Stage) apply(dirs ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, dir := range dirs {
			if err := s.Apply(ctx, dir); err != nil {
				return err
			}
		}
		return nil
	}
}

// Apply has the cluster take over a kustomization of the repository.
func (s *Stage) Apply(ctx context.Context, dir string) error {
	pinned, err := s.pin(dir)
	if err == nil {
		_, err = s.Kubectl(ctx, "apply", "-k", pinned)
	}
	return err
}

// pin is an overlay of a kustomization with all images by digest: what was built
// anew under the same tag is rolled out, the rest stays as it runs.
func (s *Stage) pin(dir string) (overlay string, err error) {
	overlay = s.path(filepath.Join("overlays", strings.ReplaceAll(dir, "/", "-")))
	if err := os.MkdirAll(overlay, 0o755); err != nil {
		return "", err
	}
	text := fmt.Sprintf("resources: [../../../%s]\nimages:\n", dir)
	for _, image := range []string{"hotpatch/reconciler:dev", "hotpatch/agent:dev", "hotpatch/sidecar:dev", "game-server:v1", "game-2048:v1"} {
		digest, err := crane.Digest("127.0.0.1:5000/" + image)
		if err != nil {
			return "", fmt.Errorf("find image %s (is `make images` done?): %w", image, err)
		}
		name, _, _ := strings.Cut(image, ":")
		text += fmt.Sprintf("- {name: registry.example:5000/%s, digest: %q}\n", name, digest)
	}
	return overlay, os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o644)
}

// publish starts the Git server and pushes both examples as one repository.
func (s *Stage) publish(ctx context.Context) error {
	hook, err := s.Hook(ctx)
	if err != nil {
		return err
	}
	if err := s.StartGit(ctx, hook); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "games")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	repo, err := Clone(ctx, RepoURL, dir)
	if err != nil {
		return err
	}
	return s.Examples(ctx, repo)
}

// Hook is where the reconciler takes word of a push.
func (s *Stage) Hook(ctx context.Context) (url string, err error) {
	service, err := s.Kube.CoreV1().Services(System).Get(ctx, "hotpatch-reconciler", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("http://%s:%d/trigger", service.Spec.ClusterIP, service.Spec.Ports[0].Port), nil
}

// Examples has the repository hold the examples as they are, whatever was
// pushed to it before.
func (s *Stage) Examples(ctx context.Context, repo *Repo) error {
	for _, example := range []string{"hot-patch", "hot-update"} {
		to := filepath.Join(repo.Dir, example)
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(filepath.Join(s.Root, "examples", example)))); err != nil {
			return err
		}
	}
	if out, err := repo.Git(ctx, "status", "--porcelain"); err != nil || out == "" {
		return err
	}
	return repo.Push(ctx, "The games as they run today")
}

func (s *Stage) systemReady(ctx context.Context) error {
	for _, what := range []string{"deployment/hotpatch-reconciler", "daemonset/hotpatch-agent"} {
		if _, err := s.Kubectl(ctx, "-n", System, "rollout", "status", what, "--timeout=120s"); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) examplesReady(ctx context.Context) error {
	for _, deployment := range []string{"game-server", "hot-update-gs"} {
		if _, err := s.Kubectl(ctx, "-n", Namespace, "rollout", "status", "deployment/"+deployment, "--timeout=120s"); err != nil {
			return err
		}
	}
	return nil
}

// Clear takes everything off the stage but the cluster.
func (s *Stage) Clear(ctx context.Context) error {
	for _, dir := range append(slices.Clone(workloads), system) {
		if _, err := s.Kubectl(ctx, "delete", "--ignore-not-found", "--wait", "--timeout=60s", "-k", filepath.Join(s.Root, dir)); err != nil {
			return err
		}
	}
	return s.StopGit()
}
