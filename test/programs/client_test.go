package programs

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// client is a connection that is never opened again.
type client struct {
	testing.TB
	net.Conn
	in *bufio.Reader
}

// connect opens one, on "tcp" or "unix".
func connect(t testing.TB, network, address string) *client {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

// say sends a line.
func (c *client) say(line string) {
	c.Helper()
	if _, err := fmt.Fprint(c.Conn, line, "\r\n"); err != nil {
		c.Fatalf("say %s: %v", line, err)
	}
}

// hear is the next line.
func (c *client) hear() string {
	c.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.Fatalf("the connection ended after %q: %v", line, err)
	}
	return strings.TrimSpace(line)
}

// ask says a line and hears one.
func (c *client) ask(line string) string {
	c.Helper()
	c.say(line)
	return c.hear()
}

// ends waits for the other side to close.
func (c *client) ends() {
	c.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.Errorf("the connection did not end, but %v after %q", err, rest)
	}
}

// request asks for a page; more can be asked for on the same connection.
func (c *client) request(path string) *http.Response {
	c.Helper()
	c.say("GET " + path + " HTTP/1.1\r\nHost: here\r\n")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.Fatalf("GET %s: %v", path, err)
	}
	return response
}

// page is what a server says, on a connection of its own.
type page struct {
	body   string
	header http.Header
}

var newcomer = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

func get(port, path string) (page, error) {
	response, err := newcomer.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return page{strings.TrimSpace(string(body)), response.Header}, err
}

// see gets a page and expects its text.
func see(t testing.TB, port, path, want string) {
	t.Helper()
	if got, err := get(port, path); err != nil || got.body != want {
		t.Errorf("%s is %q, want %q; %v", path, got.body, want, err)
	}
}

// becomes waits until a page has the text.
func becomes(t testing.TB, port, path, want string) page {
	t.Helper()
	var got page
	eventually(t, func() (err error) {
		if got, err = get(port, path); err == nil && got.body != want {
			err = fmt.Errorf("%s is %q, want %q", path, got.body, want)
		}
		return err
	})
	return got
}

// eventually waits until there is no error.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// visitors come without end, each on a connection of its own, until they are
// told to leave. Nobody may be turned away.
func visitors(t testing.TB, visit func() error) (leave func()) {
	var coming sync.WaitGroup
	over := make(chan struct{})
	coming.Go(func() {
		for n := 1; ; n++ {
			if err := visit(); err != nil {
				t.Errorf("visitor %d was turned away: %v", n, err)
				return
			}
			select {
			case <-over:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	leave = sync.OnceFunc(func() { close(over); coming.Wait() })
	t.Cleanup(leave)
	return leave
}
