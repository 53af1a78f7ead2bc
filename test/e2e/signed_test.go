package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/test/stage"
)

// The reconciler follows and pushes over SSH, with the keys in its Secret. A commit
// counts only if one of those who may has signed it, and results are signed as well.
func TestFollowsOverSSHAndTakesSignedCommitsAlone(t *testing.T) {
	s := open(t)
	server := gittest.NewSSHDAt(t, "10.246.0.1", gittest.AcceptVersion2)
	login, operator, machine := newKey(t), newKey(t), newKey(t)
	server.LetIn(login.public)
	var hosts strings.Builder
	for _, line := range server.KnownHosts {
		hosts.WriteString(line)
	}
	s.secret(stage.System, "hotpatch-git", map[string]string{
		"key": login.private, "known_hosts": hosts.String(), "signing": machine.private,
	})
	s.configMap(stage.System, "hotpatch-git", map[string]string{"signers": operator.allowed("operator@hotpatch.example")})
	s.signsAs(operator)
	s.commit("The games as they run today, signed") // who starts on a tip that is not is never ready
	const dir = "/etc/hotpatch/git/"
	t.Cleanup(func() {
		s.reconcilerWith("HOTPATCH_REPO="+stage.RepoURL, "HOTPATCH_GIT_SSH_KEY_FILE-", "HOTPATCH_GIT_KNOWN_HOSTS_FILE-", "HOTPATCH_GIT_SIGNERS_FILE-", "HOTPATCH_GIT_SIGNING_KEY_FILE-")
	})
	s.reconcilerWith("HOTPATCH_REPO=ssh://root@"+server.Address+filepath.Join(on.Root, ".cluster/git", stage.RepoName), "HOTPATCH_GIT_SSH_KEY_FILE="+dir+"key",
		"HOTPATCH_GIT_KNOWN_HOSTS_FILE="+dir+"known_hosts", "HOTPATCH_GIT_SIGNERS_FILE="+dir+"signers", "HOTPATCH_GIT_SIGNING_KEY_FILE="+dir+"signing")

	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.push("Release v2, signed")
	s.settled("game-server", api.PhaseComplete, 8, 8)

	before := s.lives()
	s.edit(stage.Images, "newTag: v2", "newTag: v3")
	s.git("config", "commit.gpgSign", "false")
	s.push("Release v3, signed by nobody")
	s.says("game-server", "is not signed")
	s.nobodyIsAsked()

	s.git("config", "commit.gpgSign", "true")
	s.commit("Release v3 after all")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	s.must(stage.SameLives(before, s.lives()))

	s.git("config", "gpg.ssh.allowedSignersFile", s.file(machine.allowed("*")))
	if _, err := s.repo.Git(s.ctx, "verify-commit", "origin/hotpatch-status"); err != nil {
		t.Errorf("git does not verify the commit of results: %v", err)
	}
}

// sshKey is a pair of keys, as ssh-keygen writes them.
type sshKey struct {
	private string
	public  ssh.PublicKey
}

func newKey(t *testing.T) sshKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return sshKey{gittest.PrivateKey(t, key, ""), public}
}

// allowed is its line among those who may sign.
func (k sshKey) allowed(name string) string {
	return name + " " + string(ssh.MarshalAuthorizedKey(k.public))
}

// signsAs has the clone sign what it commits.
func (s *scene) signsAs(key sshKey) {
	s.Helper()
	s.git("config", "gpg.format", "ssh")
	s.git("config", "user.signingKey", s.file(key.private))
	s.git("config", "commit.gpgSign", "true")
}

// commit says something and changes nothing.
func (s *scene) commit(message string) {
	s.Helper()
	s.git("commit", "-q", "--allow-empty", "-m", message)
	s.git("push", "-q", "origin", "HEAD:main")
}

func (s *scene) git(args ...string) {
	s.Helper()
	_, err := s.repo.Git(s.ctx, args...)
	s.must(err)
}

// file has a text stand in a file of its own.
func (s *scene) file(text string) string {
	s.Helper()
	file := filepath.Join(s.TempDir(), "text")
	s.must(os.WriteFile(file, []byte(text), 0o600))
	return file
}
