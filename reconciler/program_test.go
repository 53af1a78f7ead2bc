package reconciler

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube/kubetest"
)

// built is the reconciler's own program, as `make build` has it.
func built(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hotpatch-reconciler")
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", program, "../cmd/hotpatch-reconciler")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// process is a reconciler's. It polls all the while, as with a webhook for everything.
type process struct {
	cmd  *exec.Cmd
	said spoken
	once sync.Once
	over chan struct{}
}

// run starts the program for a cluster of a name, of which it takes the lease.
func run(t *testing.T, program, name string, repo *gittest.Repo, cluster *kubetest.Server, flags ...string) *process {
	t.Helper()
	p := &process{over: make(chan struct{})}
	p.cmd = exec.Command(program, append([]string{"--repo", repo.URL, "--cluster", name, "--namespace", "of-" + name, "--identity", "reconciler-0",
		"--kubeconfig", cluster.Kubeconfig, "--interval", "1h", "--listen", "127.0.0.1:0"}, flags...)...)
	p.cmd.Env = append(os.Environ(), "TMPDIR=/nowhere") // it writes to no disk but to one that it is given
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.poll()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			all := p.said.text()
			t.Logf("%s said at last:\n%s", name, all[max(0, len(all)-4000):])
		}
	})
	return p
}

// kill ends it at once, and returns when it is no more.
func (p *process) kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill() // SIGKILL: nothing is flushed
		_ = p.cmd.Wait()
		close(p.over)
	})
	<-p.over
}

func (p *process) poll() {
	for {
		select {
		case <-p.over:
			return
		case <-time.After(20 * time.Millisecond):
		}
		if listens := p.said.address(); listens != "" {
			if answer, err := http.Post("http://"+listens+"/trigger", "", nil); err == nil {
				answer.Body.Close()
			}
		}
	}
}

// spoken is what a process says.
type spoken struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *spoken) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

var listens = regexp.MustCompile(`HTTP on ([0-9.:]+)`)

// address is where it listens, "" until it does.
func (s *spoken) address() string {
	if found := listens.FindStringSubmatch(s.text()); found != nil {
		return found[1]
	}
	return ""
}
