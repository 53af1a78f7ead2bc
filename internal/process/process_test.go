package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNamed(t *testing.T) {
	master := Process{Comm: "nginx", Args: []string{"nginx: master process nginx -g daemon off;"}}
	shell := Process{Comm: "sh", Args: []string{"sh", "-c", "exec nginx: master process nginx"}}
	script := Process{Comm: "server", Args: []string{"/bin/sh", "/usr/local/bin/server", "--port", "7777"}}
	python := Process{Comm: "server.py", Args: []string{"python3", "/game/server.py"}}
	game := Process{Comm: "server", Args: []string{"/game/server", "--port", "7777"}}
	for _, c := range []struct {
		p    Process
		name string
		want bool
	}{
		{master, "nginx: master process nginx", true},
		{master, "nginx: master", true},
		{master, "nginx: mast", false},
		{master, "process nginx", false},
		{shell, "nginx: master process nginx", false},
		{shell, "nginx", false},
		{script, "server", false}, {script, "/bin/sh", true}, {script, "sh", true},
		{python, "server.py", true}, {python, "python3 /game/server.py", true},
		{game, "server", true}, {game, "/game/server", true}, {game, "7777", false}, {game, "", false},
	} {
		if got := c.p.Named(c.name); got != c.want {
			t.Errorf("%v named %q: %v", c.p.Args, c.name, got)
		}
	}
}

func TestFindAndSignalARealProcess(t *testing.T) {
	wrapper := exec.Command("sh", "-c", "sleep 31.5 & wait", "sleep")
	target := exec.Command("sleep", "31.25")
	for _, c := range []*exec.Cmd{wrapper, target} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer c.Process.Kill()
	}
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find(all, "sleep 31.25")
	if err != nil || found.PID != target.Process.Pid {
		t.Fatalf("found %+v, %v; want PID %d", found, err, target.Process.Pid)
	}
	reused := found
	reused.Started++
	if _, err := reused.Open(); !errors.Is(err, ErrNotFound) {
		t.Errorf("took hold of a PID that is used again: %v", err)
	}
	h, err := found.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- target.Wait() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the signal did not arrive")
	}
	if err := h.Signal(unix.SIGTERM); !errors.Is(err, unix.ESRCH) {
		t.Errorf("signal to an ended process: %v", err)
	}
	if _, err := found.Open(); !errors.Is(err, ErrNotFound) {
		t.Errorf("took hold of an ended process: %v", err)
	}
	if _, err := Find(all, "no such name"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// A handle's number may be another process's by the time that someone late uses it.
func TestAClosedHandleReachesNobody(t *testing.T) {
	closed, err := Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	other, err := Open(os.Getpid()) // takes over the number
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := closed.Signal(0); err == nil {
		t.Error("a closed handle's signal reached who has its number now")
	}
}

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]unix.Signal{"SIGHUP": unix.SIGHUP, "usr2": unix.SIGUSR2, "1": unix.SIGHUP, "SIGRTMIN+3": 37} {
		if got, err := Signal(name); err != nil || got != want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	for _, name := range []string{"SIGNONE", "", "0", "65", "-1"} {
		if _, err := Signal(name); err == nil {
			t.Errorf("%q accepted", name)
		}
	}
}

// The oldest of several is the master that forked the others; the test itself
// is never found.
func TestFindTheOldestButNotOneself(t *testing.T) {
	var started []*exec.Cmd
	for range 2 {
		c := exec.Command("sleep", "32.125")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer c.Wait()
		defer c.Process.Kill()
		started = append(started, c)
		time.Sleep(30 * time.Millisecond)
	}
	both := Of([]int{started[1].Process.Pid, started[0].Process.Pid, os.Getpid()})
	if found, err := Find(both, "sleep"); err != nil || found.PID != started[0].Process.Pid {
		t.Errorf("found %+v, %v; want PID %d", found, err, started[0].Process.Pid)
	}
	if _, err := Find(both, filepath.Base(os.Args[0])); !errors.Is(err, ErrNotFound) {
		t.Errorf("found oneself: %v", err)
	}
}

func TestAge(t *testing.T) {
	began := time.Now()
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	time.Sleep(150 * time.Millisecond)
	found := Of([]int{child.Process.Pid})
	if len(found) != 1 {
		t.Fatalf("found %v", found)
	}
	if age, err := found[0].Age(); err != nil || age < 100*time.Millisecond || age > time.Since(began)+50*time.Millisecond {
		t.Errorf("age %s, %v", age, err)
	}
}
