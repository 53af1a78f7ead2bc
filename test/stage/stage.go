// Package stage sets the scene that the demo, the end-to-end tests and the
// benchmarks play on: Hotpatch installed into the cluster of `make cluster`, a
// Git server, a repository with the examples, and people at work: one who
// pushes, some who play the game.
//
// It acts as people do (git, kubectl) and looks through the API server and the
// node; it promises that what it reports was read back, and that every wait
// ends: with the reason when time ran out.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Where everything stands on the stage.
const (
	Namespace  = "default"
	System     = "hotpatch-system"
	GitAddress = "10.246.0.1:3000"
	RepoName   = "games.git"
	Cluster    = "box"
)

// Stage is a cluster with its tools.
type Stage struct {
	Root string // of this repository
	Kube kubernetes.Interface

	config *rest.Config // of Kube
}

// Open connects to the cluster that `make cluster` started.
func Open() (*Stage, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	s := &Stage{Root: root}
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("no cluster to play on, run `make cluster` first: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	s.config = config
	s.Kube, err = kubernetes.NewForConfig(config)
	return s, err
}

// Kubeconfig is the cluster's admin kubeconfig.
func (s *Stage) Kubeconfig() string { return s.path("kubeconfig") }

// As is a client with nothing but a token.
func (s *Stage) As(token string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
	if err != nil {
		return nil, err
	}
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = token
	return kubernetes.NewForConfig(config)
}

// Run runs a command and returns its output; an error holds what it said.
func Run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Kubectl runs the cluster's kubectl.
func (s *Stage) Kubectl(ctx context.Context, args ...string) (string, error) {
	return Run(ctx, s.Root, s.path("bin/kubectl"), append([]string{"--kubeconfig", s.Kubeconfig()}, args...)...)
}

// Hotpatch runs the CLI for people.
func (s *Stage) Hotpatch(ctx context.Context, args ...string) (string, error) {
	return Run(ctx, s.Root, filepath.Join(s.Root, "bin/hotpatch"), args...)
}

// Get is the document at a URL.
func Get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return string(body), err
}

// pollEvery is how often Eventually asks: seldom enough not to slow down what it
// waits for.
const pollEvery = 100 * time.Millisecond

// Eventually asks check until it returns nil, and otherwise ends with its last
// error after limit.
func Eventually(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", limit, errors.Join(last, context.Cause(ctx)))
		case <-time.After(pollEvery):
		}
	}
}

func (s *Stage) path(name string) string { return filepath.Join(s.Root, ".cluster", name) }

func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
	return "", errors.Join(errors.New("not inside the Hotpatch repository"), err)
}
