package gitsource

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"hotpatch.dev/hotpatch/gitsource/gittest"
)

// between is another address of a server, that does as it likes with what goes over it.
func between(t *testing.T, address string, does func(io.Writer) io.Writer) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", address)
			if err != nil {
				here.Close()
				return
			}
			go pipe(does(here), here, there)
			go pipe(does(there), there, here)
		}
	}()
	return listener.Addr().String()
}

func pipe(into io.Writer, to, from net.Conn) {
	_, _ = io.Copy(into, from)
	to.Close()
	from.Close()
}

// counted is another address, and how many bytes went over it.
func counted(t *testing.T, address string) (string, *atomic.Int64) {
	bytes := &atomic.Int64{}
	return between(t, address, func(to io.Writer) io.Writer { return counter{to, bytes} }), bytes
}

type counter struct {
	io.Writer
	bytes *atomic.Int64
}

func (c counter) Write(p []byte) (int, error) {
	c.bytes.Add(int64(len(p)))
	return c.Writer.Write(p)
}

// manyRefs gives a repository so many branches more.
func manyRefs(t *testing.T, repo *gittest.Repo, refs int) {
	t.Helper()
	commit := repo.Git("rev-parse", "HEAD")
	var b strings.Builder
	b.WriteString("# pack-refs with: peeled fully-peeled sorted \n")
	for i := range refs {
		fmt.Fprintf(&b, "%s refs/heads/change/%06d\n", commit, i)
	}
	if err := os.WriteFile(filepath.Join(repo.Bare, "packed-refs"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A poll costs the same with many refs. What SSH needs to shake hands comes on top.
func TestAPollAsksForOneRefAlone(t *testing.T) {
	repo, server, overSSH := onSSH(t, ssh.KeyAlgoED25519, gittest.AcceptVersion2)
	manyRefs(t, repo, 10_000)
	web, webBytes := counted(t, strings.Split(repo.URL, "/")[2])
	shell, sshBytes := counted(t, server.Address)
	overHTTP := Options{URL: "http://" + web + "/repo.git", Branch: "main"}
	overSSH.URL = "ssh://root@" + shell + repo.Bare
	host, port, _ := net.SplitHostPort(shell)
	known := server.KnownHosts[ssh.KeyAlgoED25519]
	overSSH.Auth.KnownHostsFile = private(t, fmt.Sprintf("[%s]:%s %s", host, port, known[strings.Index(known, " ")+1:]))
	for _, c := range []struct {
		o     Options
		bytes *atomic.Int64
		most  int64
	}{{overHTTP, webBytes, 1000}, {overSSH, sshBytes, 10_000}} {
		s, err := NewSource(c.o)
		if err != nil {
			t.Fatal(err)
		}
		tip, err := s.Newer(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		before := c.bytes.Load()
		if next, err := s.Newer(t.Context(), tip.Commit); next != nil || err != nil {
			t.Fatalf("%s: %v, %v", c.o.URL, next, err)
		}
		time.Sleep(20 * time.Millisecond) // for the last bytes to pass
		if cost := c.bytes.Load() - before; cost > c.most || cost == 0 {
			t.Errorf("%s: a poll costs %d bytes", c.o.URL, cost)
		}
	}
}

// Of a commit that differs in one file only that is sent, over what is here already;
// and the snapshot before it stays whole.
func TestOnlyTheDifferenceIsSent(t *testing.T) {
	repo, _, overSSH := onSSH(t, ssh.KeyAlgoED25519, gittest.AcceptVersion2)
	files := map[string]string{}
	for i := range 2000 {
		files[fmt.Sprintf("games/%02d/%03d.yaml", i%40, i)] = fmt.Sprintf("game: %d\n", i)
	}
	repo.Commit(files, "many files")
	web, bytes := counted(t, strings.Split(repo.URL, "/")[2])
	for _, o := range []Options{{URL: "http://" + web + "/repo.git", Branch: "main"}, overSSH} {
		s, err := NewSource(o)
		if err != nil {
			t.Fatal(err)
		}
		before := snapshot(t, s)
		repo.Commit(map[string]string{"games/07/007.yaml": "game: other " + o.URL + "\n"}, "one file")
		sent := bytes.Load()
		after, err := s.Newer(t.Context(), before.Commit)
		if err != nil || after == nil {
			t.Fatalf("%s: %v, %v", o.URL, after, err)
		}
		if cost := bytes.Load() - sent; cost > 5000 {
			t.Errorf("%s: %d bytes for one file", o.URL, cost)
		}
		for _, snap := range []*Snapshot{before, after} {
			if found, err := snap.Files("games"); err != nil || len(found) != 2000 {
				t.Errorf("%s: %d files, %v", o.URL, len(found), err)
			}
		}
		if content, err := after.Read("games/07/007.yaml"); err != nil || !strings.Contains(string(content), "other") {
			t.Errorf("%s: %q, %v", o.URL, content, err)
		}
	}
}

// A held commit that is not whole after all, of which a file or a whole directory is
// missing, is no reason to believe in another. Nor is it ever one with fewer files: what
// is not listed is deleted from clusters.
func TestWhatIsHeldIsNotBelieved(t *testing.T) {
	for _, missing := range []string{"c/d", "c"} {
		repo := gittest.NewRepo(t)
		repo.Commit(map[string]string{"a/b": "1\n", "c/d": "2\n"}, "two")
		s := source(t, repo.URL)
		before := snapshot(t, s)
		entry, err := before.entry(missing)
		if err != nil {
			t.Fatal(err)
		}
		delete(before.store.places, entry.Hash)
		if files, err := before.Files("."); err == nil || errors.Is(err, fs.ErrNotExist) || files != nil {
			t.Errorf("without %s: it lists %v, %v", missing, files, err)
		}
		if content, err := before.Read("c/d"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: read %q, %v", missing, content, err)
		}
		repo.Commit(map[string]string{"a/b": "3\n"}, "three")
		after, err := s.Newer(t.Context(), before.Commit)
		if err != nil {
			t.Fatal(err)
		}
		isWhole(t, "without "+missing, repo, after)
		if fetches := repo.Seen(gittest.Fetch); fetches != 3 {
			t.Errorf("without %s: %d fetches: want the first, one of the difference, and one of all", missing, fetches)
		}
	}
}

// A server without version 2 is asked as before, and greeted once.
func TestOlderServersAreReadAsWell(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Old = true
	s := source(t, repo.URL)
	tip := snapshot(t, s).Commit
	for range 3 {
		if next, err := s.Newer(t.Context(), tip); next != nil || err != nil {
			t.Fatalf("got %v, %v", next, err)
		}
	}
	if greeted := repo.Seen(gittest.Greet); greeted != 1 {
		t.Errorf("it was greeted %d times", greeted)
	}
}

// A server that is replaced by an older one is recognised by its first answer.
func TestAServerMayBecomeOlder(t *testing.T) {
	repo := gittest.NewRepo(t)
	s := source(t, repo.URL)
	tip := snapshot(t, s).Commit
	repo.Old = true
	if _, err := s.Newer(t.Context(), tip); err == nil {
		t.Error("an older server understands version 2")
	}
	want := repo.Commit(map[string]string{"a": "1"}, "next")
	if next, err := s.Newer(t.Context(), tip); err != nil || next == nil || next.Commit != want {
		t.Errorf("got %v, %v", next, err)
	}
}

func TestAnEmptyRepositoryHasNoBranch(t *testing.T) {
	repo, _, o := onSSH(t, ssh.KeyAlgoED25519, gittest.AcceptVersion2)
	if err := repo.Init(t.Context(), "empty.git"); err != nil {
		t.Fatal(err)
	}
	o.URL = strings.Replace(o.URL, "repo.git", "empty.git", 1)
	overSSH, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	overHTTP := source(t, strings.Replace(repo.URL, "repo.git", "empty.git", 1))
	for _, s := range []*Source{overHTTP, overSSH} {
		if _, err := s.Newer(t.Context(), ""); !errors.Is(err, ErrNoBranch) {
			t.Errorf("%s: %v", s.URL, err)
		}
	}
}

func TestARepositoryOfSHA256IsNamed(t *testing.T) {
	repo := gittest.NewRepo(t)
	repo.Git("init", "-q", "--bare", "--object-format=sha256", filepath.Join(repo.Root, "long.git"))
	if _, err := source(t, strings.Replace(repo.URL, "repo.git", "long.git", 1)).Newer(t.Context(), ""); !errors.Is(err, errSHA256) {
		t.Errorf("got %v", err)
	}
}

// A redirect to another path is followed once; one to another host gets no
// credentials.
func TestRedirects(t *testing.T) {
	repo := gittest.NewRepo(t)
	asked, leaked := 0, false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "" {
			leaked = true
		}
		repo.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, old := strings.CutPrefix(r.URL.Path, "/old")
		moved, away := strings.CutPrefix(r.URL.Path, "/away")
		switch {
		case old:
			asked++
			http.Redirect(w, r, path+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
		case away:
			http.Redirect(w, r, elsewhere.URL+moved+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
		default:
			repo.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	auth := Auth{PasswordFile: private(t, "hunter2")}
	for _, path := range []string{"/old/repo.git", "/away/repo.git"} {
		s, err := NewSource(Options{URL: server.URL + path, Branch: "main", Auth: auth})
		if err != nil {
			t.Fatal(err)
		}
		tip := snapshot(t, s)
		if next, err := s.Newer(t.Context(), tip.Commit); next != nil || err != nil {
			t.Errorf("%s: %v, %v", path, next, err)
		}
	}
	if asked != 1 || leaked {
		t.Errorf("asked %d times where it was; elsewhere knows the password: %v", asked, leaked)
	}
}
