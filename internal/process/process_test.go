package process

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNamed(t *testing.T) {
	master := Process{Comm: "nginx", Args: []string{"nginx: master process nginx -g daemon off;"}}
	shell := Process{Comm: "sh", Args: []string{"sh", "-c", "exec nginx: master process nginx"}}
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
	h, err := Open(found.PID)
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
	if _, err := Find(all, "no such name"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]unix.Signal{"SIGHUP": unix.SIGHUP, "usr2": unix.SIGUSR2, "SIGRTMIN+3": 37} {
		if got, err := Signal(name); err != nil || got != want {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	if _, err := Signal("SIGNONE"); err == nil {
		t.Error("SIGNONE accepted")
	}
}
