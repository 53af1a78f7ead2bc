package gitsource

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// everywhere has a source follow a repository in each way that there is to talk to one.
func everywhere(t *testing.T, follow func(*testing.T, *gittest.Repo, *Source)) {
	for name, c := range map[string]struct {
		old, overSSH bool
		settings     string
	}{
		"HTTP":               {},
		"HTTP, an older one": {old: true},
		"SSH":                {overSSH: true, settings: gittest.AcceptVersion2},
		"SSH, an older one":  {overSSH: true},
	} {
		t.Run(name, func(t *testing.T) {
			repo, _, o := onSSH(t, ssh.KeyAlgoED25519, c.settings)
			if repo.Old = c.old; !c.overSSH {
				o.URL = repo.URL
			}
			s, err := NewSource(o)
			if err != nil {
				t.Fatal(err)
			}
			follow(t, repo, s)
		})
	}
}

// forget has the server keep nothing but what its branches lead to.
func forget(repo *gittest.Repo) {
	repo.Git("-C", repo.Bare, "reflog", "expire", "--expire=now", "--all")
	repo.Git("-C", repo.Bare, "gc", "-q", "--prune=now")
}

// isWhole compares a snapshot with the branch as git itself has it.
func isWhole(t *testing.T, what string, repo *gittest.Repo, snap *Snapshot) {
	t.Helper()
	if tip := repo.Git("-C", repo.Bare, "rev-parse", "main"); snap == nil || snap.Commit != tip {
		t.Fatalf("%s: %+v, want %s", what, snap, tip)
	}
	var listed []string
	files, err := snap.Files(".")
	for _, f := range files {
		listed = append(listed, fmt.Sprintf("%s %s", f.ID, f.Path))
		if content, err := snap.Read(f.Path); err != nil || string(content) != repo.Show("main", f.Path) {
			t.Errorf("%s: %s is %q, %v", what, f.Path, content, err)
		}
	}
	want := repo.Git("-C", repo.Bare, "ls-tree", "-r", "--format=%(objectname) %(path)", "main")
	if err != nil || strings.Join(listed, "\n") != want {
		t.Errorf("%s: it lists\n%s\n(%v), and git\n%s", what, strings.Join(listed, "\n"), err, want)
	}
}

// The commit that is held, and all before it, are gone from the server: what comes
// after is whole nevertheless, however it was made, and what was held stays so.
func TestTheServerForgetsWhatIsHeld(t *testing.T) {
	everywhere(t, func(t *testing.T, repo *gittest.Repo, s *Source) {
		repo.Commit(map[string]string{"games/a": "1\n", "games/deep/b": "1\n", "same": "as ever\n"}, "one")
		held := snapshot(t, s)
		for _, c := range []struct {
			what    string
			rewrite func()
		}{
			{"amended", func() {
				repo.Git("commit", "-q", "--amend", "-m", "amended", "--allow-empty")
				repo.Commit(map[string]string{"games/a": "2\n"}, "on top")
				repo.Git("reset", "-q", "--soft", "HEAD^")
				repo.Git("commit", "-q", "--amend", "-m", "both in one")
				repo.Git("push", "-q", "--force", "origin", "HEAD:main")
				forget(repo)
			}},
			{"amended, with the same files", func() {
				repo.Git("commit", "-q", "--amend", "-m", "in other words")
				repo.Git("push", "-q", "--force", "origin", "HEAD:main")
				forget(repo)
			}},
			{"an orphan", func() {
				repo.Git("checkout", "-q", "--orphan", "fresh")
				repo.Commit(map[string]string{"games/deep/b": "3\n", "new/c": "3\n"}, "a new beginning")
				repo.Git("push", "-q", "--force", "origin", "HEAD:main")
			}},
			{"an orphan of files that all are held", func() {
				repo.Git("checkout", "-q", "--orphan", "fresher")
				repo.Git("rm", "-q", "-r", "--cached", "new")
				repo.Git("clean", "-q", "-f", "-d")
				repo.Commit(nil, "another one")
				repo.Git("push", "-q", "--force", "origin", "HEAD:main")
			}},
			{"deleted and made again", func() {
				repo.Git("push", "-q", "origin", ":main", ":fresh", ":fresher")
				forget(repo)
				repo.Git("checkout", "-q", "--orphan", "freshest")
				repo.Commit(map[string]string{"games/a": "4\n", "other": "4\n"}, "made again")
				repo.Git("push", "-q", "origin", "HEAD:main")
			}},
		} {
			c.rewrite()
			next, err := s.Newer(t.Context(), held.Commit)
			if err != nil {
				t.Fatalf("%s: %v", c.what, err)
			}
			isWhole(t, c.what, repo, next)
			if files, err := held.Files("."); err != nil || len(files) == 0 {
				t.Errorf("%s: what was held lists %d files, %v", c.what, len(files), err)
			}
			if again, err := s.Newer(t.Context(), next.Commit); again != nil || err != nil {
				t.Errorf("%s: once it is known: %v, %v", c.what, again, err)
			}
			held = next
		}
	})
}
