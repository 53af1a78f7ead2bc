package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for anything.
const patience = 30 * time.Second

// program is the server, built once for all tests.
var program []byte

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "game")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "server")
	if out, err := exec.Command("go", "build", "-race", "-o", file, ".").CombinedOutput(); err != nil {
		panic(string(out))
	}
	if program, err = os.ReadFile(file); err != nil {
		panic(err)
	}
	return m.Run()
}

// game is a running server whose program and files can be replaced, as those of
// an image.
type game struct {
	dir, program string
	address, web string
	cmd          *exec.Cmd
}

// seen is what /state shows.
type seen struct {
	process
	Players []player `json:"players"`
}

func newGame(t *testing.T) *game {
	t.Helper()
	dir := t.TempDir()
	g := &game{dir: dir, program: filepath.Join(dir, "server"), address: freeAddress(t), web: freeAddress(t)}
	g.install(t, "v1", "a green hill")
	g.cmd = exec.Command(g.program, "-dir", dir, "-listen", g.address, "-http", g.web)
	g.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	var log bytes.Buffer
	g.cmd.Stdout, g.cmd.Stderr = &log, &log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := g.end()
		if err != nil || bytes.Contains(log.Bytes(), []byte("DATA RACE")) || t.Failed() {
			t.Errorf("server: %v\n%s", err, log.Bytes())
		}
	})
	g.wait(t, func(s seen) bool { return s.Generation == 1 })
	return g
}

// end asks until it is heard: what comes just as one program becomes the next is
// lost.
func (g *game) end() error {
	ended := make(chan error, 1)
	go func() { ended <- g.cmd.Wait() }()
	for {
		g.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Second):
		}
	}
}

// install puts a program and its files in place, each at once.
func (g *game) install(t *testing.T, version, world string) {
	t.Helper()
	g.replace(t, "server", program)
	g.replace(t, "version", []byte(version+"\n"))
	g.replace(t, "world.txt", []byte(world+"\n"))
}

func (g *game) replace(t *testing.T, name string, content []byte) {
	t.Helper()
	file := filepath.Join(g.dir, name)
	err := os.WriteFile(file+".new", content, 0o755)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (g *game) hangup(t *testing.T) {
	t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// state is zero while nobody answers.
func (g *game) state() (s seen) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + g.web + "/state")
	if err != nil {
		return s
	}
	defer resp.Body.Close()
	json.NewDecoder(resp.Body).Decode(&s)
	return s
}

func (g *game) wait(t *testing.T, until func(seen) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for s := g.state(); !until(s); s = g.state() {
		if time.Now().After(deadline) {
			t.Fatalf("still %+v after %s", s, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// client is one player, who stays on one connection.
type client struct {
	t       *testing.T
	conn    net.Conn
	answers *bufio.Reader
}

func (g *game) join(t *testing.T, name string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * patience))
	c := &client{t: t, conn: conn, answers: bufio.NewReader(conn)}
	c.say("join " + name + "\n")
	c.hear()
	return c
}

func (c *client) say(text string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Error(err)
	}
}

func (c *client) hear() string {
	c.t.Helper()
	line, err := c.answers.ReadString('\n')
	if err != nil {
		c.t.Error("hung up on: ", err)
		return ""
	}
	return line[:len(line)-1]
}

// want says a line and wants an answer; it reports whether that came.
func (c *client) want(line, answer string) bool {
	c.t.Helper()
	c.say(line + "\n")
	got := c.hear()
	if got != answer {
		c.t.Errorf("%s: got %q, want %q", line, got, answer)
	}
	return got == answer
}

func (c *client) state() (s state) {
	c.t.Helper()
	c.say("state\n")
	if err := json.Unmarshal([]byte(c.hear()), &s); err != nil {
		c.t.Error(err)
	}
	return s
}
