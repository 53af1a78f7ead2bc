package sidecar

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowCaller is one who takes his time over what he sends.
type slowCaller struct {
	sends string // at once
	drips string // a letter of it every so often, for ever; "": nothing more comes
	limit time.Duration
}

// cutOff is how long the sidecar listened, and what it answered at the end.
func (c slowCaller) cutOff(address string) (took time.Duration, answer string, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	begun := time.Now()
	fmt.Fprint(conn, c.sends)
	over := make(chan struct{})
	defer close(over)
	go func() {
		for c.drips != "" {
			select {
			case <-over:
				return
			case <-time.After(200 * time.Millisecond):
				fmt.Fprint(conn, c.drips)
			}
		}
	}()
	conn.SetReadDeadline(begun.Add(2 * c.limit))
	body, err := io.ReadAll(conn)
	if err != nil && strings.Contains(err.Error(), "reset by peer") { // its letters arrived after the end
		err = nil
	}
	return time.Since(begun), string(body), err
}

// Whoever is slow to say what he wants is cut off, be it that nothing comes or a
// letter at a time, and what he has said until then is not done.
func TestSlowCallers(t *testing.T) {
	w := newWorld(t)
	address := strings.TrimSuffix(strings.TrimPrefix(w.url, "http://"), "/hot-update")
	const head = "POST /hot-update HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
	fields := "version=v1&url=" + url.QueryEscape(w.up.URL+"/index.html") + "&x="
	body := "Content-Length: 60000\r\n\r\n" + fields
	chunk := fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(fields), fields)
	var all sync.WaitGroup
	for what, c := range map[string]slowCaller{
		"a query and half a body": {strings.Replace(head, "/hot-update", "/hot-update?version=v1&url="+url.QueryEscape(w.up.URL+"/index.html"), 1) + "Content-Length: 60000\r\n\r\nx=", "", readTimeout},
		"no more headers":         {head, "", headerTimeout},
		"headers that drip":       {head + "X: ", "x", headerTimeout},
		"no more body":            {head + body, "", readTimeout},
		"a body that drips":       {head + body, "x", readTimeout},
		"chunks that drip":        {head + chunk, "1\r\nx\r\n", readTimeout},
		"a connection unused":     {"", "", headerTimeout},
	} {
		all.Go(func() {
			took, answer, err := c.cutOff(address)
			if err != nil || took < c.limit/2 || strings.Contains(answer, success) {
				t.Errorf("%s: after %s: %q, %v", what, took, answer, err)
			}
		})
	}
	all.Wait()
	if _, err := os.Stat(w.dir + "/index.html"); err == nil {
		t.Error("what was not said to the end was done")
	}
	w.mustPost("v2", "/index.html") // and the others are served
}
