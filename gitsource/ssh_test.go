package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// onSSH is a repository on OpenSSH's server, and how it is reached: with a key, and
// with only those of the host's keys that are of a type.
func onSSH(t *testing.T, hostKey string, settings ...string) (*gittest.Repo, *gittest.SSHD, Options) {
	t.Helper()
	repo, server := gittest.NewRepo(t), gittest.NewSSHD(t, settings...)
	key := newKey(t)
	server.LetIn(publicSSH(t, key))
	return repo, server, Options{
		URL:     "ssh://root@" + server.Address + repo.Bare,
		Branch:  "main",
		Timeout: 10 * time.Second,
		Auth: Auth{
			SSHKeyFile:     private(t, gittest.PrivateKey(t, key, "")),
			KnownHostsFile: private(t, server.KnownHosts[hostKey]),
		},
	}
}

// The server would rather show another of its keys than the one that is known.
func TestReadsAndWritesOverSSH(t *testing.T) {
	for hostKey, version := range map[string]string{ssh.KeyAlgoED25519: gittest.AcceptVersion2, ssh.KeyAlgoECDSA256: "", ssh.KeyAlgoRSA: gittest.AcceptVersion2} {
		t.Run(hostKey, func(t *testing.T) {
			repo, _, o := onSSH(t, hostKey, version)
			want := repo.Commit(map[string]string{"games/it's one.yaml": "a: 1\n"}, "one")
			source, err := NewSource(o)
			if err != nil {
				t.Fatal(err)
			}
			snapshot, err := source.Newer(t.Context(), "")
			if err != nil || snapshot.Commit != want {
				t.Fatalf("got %+v, %v", snapshot, err)
			}
			if content, err := snapshot.Read("games/it's one.yaml"); err != nil || string(content) != "a: 1\n" {
				t.Errorf("read %q, %v", content, err)
			}
			if again, err := source.Newer(t.Context(), want); again != nil || err != nil {
				t.Errorf("nothing is new, got %v, %v", again, err)
			}
			o.Branch = "hotpatch-status"
			w := writing(t, o)
			for _, content := range []string{"1", "2"} {
				if _, err := w.Commit(t.Context(), put("a", content)); err != nil {
					t.Fatal(err)
				}
			}
			if log := repo.Log("hotpatch-status"); len(log) != 2 || repo.Show("hotpatch-status", "a") != "2" {
				t.Errorf("the branch holds %q", log)
			}
		})
	}
}

// slowEnd ends a question when the server has answered it already and has hung up.
type slowEnd struct {
	io.WriteCloser
	command *ssh.Session
}

func (s slowEnd) Close() error {
	for err := error(nil); err == nil; {
		_, err = s.command.SendRequest("still-there", true, nil)
	}
	return s.WriteCloser.Close()
}

func TestServersAnswerBeforeTheQuestionEnds(t *testing.T) {
	repo, _, o := onSSH(t, ssh.KeyAlgoED25519)
	repo.Commit(map[string]string{"a": "1"}, "one")
	w := writing(t, o)
	listed, err := w.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fetching, head := listed.(*older).UploadPackSession.(*sshSession), listed.listed()["refs/heads/main"]
	defer fetching.Close()
	fetching.in = slowEnd{fetching.in, fetching.command}
	transfer, stop := w.transfer(t.Context())
	defer stop()
	if err := listed.fetch(transfer, head, 1, newObjectStore(nil)); err != nil {
		t.Errorf("fetch: %v", err)
	}

	opened, err := w.receivePack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pushing := opened.(*sshSession)
	defer pushing.Close()
	advertised, err := pushing.AdvertisedReferencesContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pushing.in = slowEnd{pushing.in, pushing.command}
	request := packp.NewReferenceUpdateRequestFromCapabilities(advertised.Capabilities)
	request.Commands = []*packp.Command{{Name: "refs/heads/gone", Old: head}}
	if report, err := pushing.ReceivePack(t.Context(), request); err != nil || len(report.CommandStatuses) != 1 {
		t.Errorf("push: %+v, %v", report, err)
	}
}

// Two of our layers may ask why a server has gone.
func TestTheReasonIsThereTwice(t *testing.T) {
	_, _, o := onSSH(t, ssh.KeyAlgoED25519)
	o.URL += "-missing"
	w := writing(t, o)
	opened, err := w.receivePack(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	s := opened.(*sshSession)
	if err := s.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 2)
	go func() { told <- s.why(io.EOF); told <- s.why(io.EOF) }()
	for range 2 {
		select {
		case err := <-told:
			if !strings.Contains(err.Error(), "does not appear to be a git repository") {
				t.Errorf("got %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it is waited for without end")
		}
	}
}

func TestAHookRefusesOverSSH(t *testing.T) {
	repo, _, o := onSSH(t, ssh.KeyAlgoED25519)
	repo.Hook("pre-receive", "echo 'status commits are frozen until Monday'\nexit 1\n")
	w := writing(t, o)
	_, err := w.Commit(t.Context(), put("a", "1"))
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "frozen until Monday") {
		t.Errorf("got %v", err)
	}
}

func TestSSHTellsWhatIsWrong(t *testing.T) {
	_, server, good := onSSH(t, ssh.KeyAlgoED25519)
	other := newKey(t)
	host, port, _ := net.SplitHostPort(server.Address)
	changed := fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(publicSSH(t, other)))
	locked := private(t, gittest.PrivateKey(t, other, passphrase))
	known := &opened[ssh.Signer]{}
	for range 2 {
		if key, err := known.get(locked, private(t, passphrase+"\n"), openSSH); err != nil || key.PublicKey().Type() != ssh.KeyAlgoED25519 {
			t.Errorf("with its passphrase: %v", err)
		}
	}
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"an unknown host":  {func(o *Options) { o.Auth.KnownHostsFile = private(t, "# none yet\n") }, "add the line \"[127.0.0.1]:" + port + " "},
		"another host key": {func(o *Options) { o.Auth.KnownHostsFile = private(t, changed) }, "otherwise someone stands in between"},
		"a key that nobody knows": {func(o *Options) {
			o.Auth.SSHKeyFile, o.Auth.SSHPassphraseFile = private(t, gittest.PrivateKey(t, other, "")), ""
		}, "register its public half there"},
		"a wrong passphrase":  {func(o *Options) { o.Auth.SSHKeyFile, o.Auth.SSHPassphraseFile = locked, private(t, "hunter2") }, "does not fit"},
		"no passphrase":       {func(o *Options) { o.Auth.SSHKeyFile = locked }, "no file of that is named"},
		"no key":              {func(o *Options) { o.Auth.SSHKeyFile = "" }, "set --git-ssh-key-file"},
		"no known hosts":      {func(o *Options) { o.Auth.KnownHostsFile = "" }, "--git-known-hosts-file"},
		"garbage for a key":   {func(o *Options) { o.Auth.SSHKeyFile = private(t, "hunter2") }, "no key found"},
		"another repository":  {func(o *Options) { o.URL = strings.TrimSuffix(o.URL, "repo.git") + "none.git" }, "does not appear to be a git repository"},
		"a password in a URL": {func(o *Options) { o.URL = strings.Replace(o.URL, "root@", "root:hunter2@", 1) }, "must not hold a password"},
	} {
		o := good
		c.change(&o)
		source, err := NewSource(o)
		if err == nil {
			_, err = source.Newer(t.Context(), "")
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

// Credentials are read anew, so that a rotated one is used at once.
func TestSSHKeyRotates(t *testing.T) {
	_, server, o := onSSH(t, ssh.KeyAlgoED25519)
	source, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	server.LetIn(publicSSH(t, key))
	if _, err := source.Newer(t.Context(), ""); err == nil {
		t.Error("the old key still lets in")
	}
	if err := os.WriteFile(o.Auth.SSHKeyFile, []byte(gittest.PrivateKey(t, key, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Newer(t.Context(), ""); err != nil {
		t.Errorf("with the new key: %v", err)
	}
}

// A server that accepts and says nothing, or nothing after its banner, ends with the
// time limit, and with the context.
func TestSilentSSHServersEnd(t *testing.T) {
	for _, banner := range []string{"", "SSH-2.0-Silent\r\n"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, banner)
				defer conn.Close()
			}
		}()
		_, server, o := onSSH(t, ssh.KeyAlgoED25519)
		o.URL = strings.Replace(o.URL, server.Address, listener.Addr().String(), 1)
		o.Timeout = 300 * time.Millisecond
		source, err := NewSource(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Newer(t.Context(), ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer within 300ms") {
			t.Errorf("after %q: %v", banner, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		source.Timeout = time.Hour
		if _, err := source.Newer(ctx, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("after %q, cancelled: %v", banner, err)
		}
	}
}

func TestURLs(t *testing.T) {
	for _, good := range []string{"https://git.example/a.git", "http://git.example:3000/a", "ssh://git@git.example:2222/a.git", "ssh://git.example/a",
		"git@git.example:games/a.git", "git.example:a", "git@[::1]:a.git", "file:///srv/a.git"} {
		if err := CheckURL(good); err != nil || !IsURL(good) {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"https://ann@git.example/a", "https://ann:hunter2@git.example/a", "ssh://git:hunter2@git.example/a", "https://git.example/a?token=hunter2",
		"git://git.example/a", "ext::sh -c id", "-oProxyCommand=id:x", "", "https:///a", "ssh:///a", "./games"} {
		if err := CheckURL(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if IsURL("./games") || IsURL("/srv/games") {
		t.Error("a directory is taken for a URL")
	}
}
