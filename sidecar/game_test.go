package sidecar

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// game is a real process that counts the SIGHUPs it gets.
type game struct {
	name  string
	count string // file
	cmd   *exec.Cmd
}

var games int

func startGame(t *testing.T) *game {
	t.Helper()
	games++
	g := &game{name: fmt.Sprintf("game: master process %d-%d", os.Getpid(), games), count: filepath.Join(t.TempDir(), "count")}
	g.start(t)
	return g
}

func (g *game) start(t *testing.T) {
	t.Helper()
	os.Remove(g.count)
	g.cmd = exec.Command("perl", "-e", `$0 = shift . " -g daemon off;"; my $f = shift; $SIG{HUP} = sub { open F, ">>", $f; print F "."; close F };
		open F, ">", $f; close F; while (1) { select undef, undef, undef, 60 }`, g.name, g.count)
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.kill() })
	eventually(t, "the game starts", func() bool { _, err := os.Stat(g.count); return err == nil })
}

func (g *game) kill() {
	g.cmd.Process.Kill()
	g.cmd.Wait()
}

// signals is how many came, after a moment for the last one.
func (g *game) signals() int {
	time.Sleep(50 * time.Millisecond)
	content, _ := os.ReadFile(g.count)
	return len(content)
}

// forget lets signals be counted from nothing.
func (g *game) forget() { os.Truncate(g.count, 0) }
