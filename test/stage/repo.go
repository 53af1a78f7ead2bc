package stage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// Repo is a person's clone of the repository that the reconciler follows.
type Repo struct {
	Dir string
	URL string
}

// Clone makes a working clone in dir.
func Clone(ctx context.Context, url, dir string) (*Repo, error) {
	r := &Repo{Dir: dir, URL: url}
	if _, err := Run(ctx, "", "git", "clone", "-q", url, dir); err != nil {
		return nil, err
	}
	for _, setting := range [][]string{{"user.name", "Operator"}, {"user.email", "operator@hotpatch.example"}} {
		if _, err := r.Git(ctx, "config", setting[0], setting[1]); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Git runs git in the clone.
func (r *Repo) Git(ctx context.Context, args ...string) (string, error) {
	out, err := Run(ctx, r.Dir, "git", args...)
	return strings.TrimSpace(out), err
}

// Replace edits a file by replacing the one place where old stands.
func (r *Repo) Replace(path, old, new string) error {
	name := filepath.Join(r.Dir, path)
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if n := bytes.Count(content, []byte(old)); n != 1 {
		return fmt.Errorf("%s: %q stands there %d times, want once", path, old, n)
	}
	return os.WriteFile(name, bytes.Replace(content, []byte(old), []byte(new), 1), 0o644)
}

// Push commits everything in the clone and pushes it to main, on top of what others
// may have pushed meanwhile.
func (r *Repo) Push(ctx context.Context, message string) error {
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", message}} {
		if _, err := r.Git(ctx, args...); err != nil {
			return err
		}
	}
	for tries := 1; ; tries++ {
		_, err := r.Git(ctx, "push", "-q", "origin", "HEAD:main")
		if err == nil || tries == 20 {
			return err
		}
		time.Sleep(rand.N(200 * time.Millisecond)) // tests push side by side, and would meet again
		if _, err := r.Git(ctx, "pull", "-q", "--rebase", "origin", "main"); err != nil {
			return err
		}
	}
}

// Revert undoes commits with one `git revert` each, and pushes.
func (r *Repo) Revert(ctx context.Context, commits string) error {
	if _, err := r.Git(ctx, "revert", "--no-edit", commits); err != nil {
		return err
	}
	_, err := r.Git(ctx, "push", "-q", "origin", "HEAD:main")
	return err
}

// Status reads a HotPatch's record off the status branch on the server.
func (r *Repo) Status(ctx context.Context, name string) (api.HotPatchStatus, error) {
	if err := r.fetchStatus(ctx); err != nil {
		return api.HotPatchStatus{}, err
	}
	out, err := r.Git(ctx, "show", statusBranch+":"+record(name))
	if err != nil {
		return api.HotPatchStatus{}, err
	}
	return api.DecodeStatus(record(name), []byte(out))
}

// Told is the message of the last commit that changed a HotPatch's record.
func (r *Repo) Told(ctx context.Context, name string) (string, error) {
	if err := r.fetchStatus(ctx); err != nil {
		return "", err
	}
	return r.Git(ctx, "log", "-1", "--format=%B", statusBranch, "--", record(name))
}

// Story is the log of the status branch, newest first.
func (r *Repo) Story(ctx context.Context, n int) (string, error) {
	if err := r.fetchStatus(ctx); err != nil {
		return "", err
	}
	return r.Git(ctx, "log", fmt.Sprintf("-%d", n), "--format=%h %s", statusBranch)
}

const statusBranch = "origin/hotpatch-status"

func (r *Repo) fetchStatus(ctx context.Context) error {
	_, err := r.Git(ctx, "fetch", "-q", "origin", "+hotpatch-status:refs/remotes/"+statusBranch)
	return err
}

// record is where a HotPatch's stands.
func record(name string) string {
	return fmt.Sprintf("clusters/%s/%s/%s.yaml", Cluster, Namespace, name)
}
