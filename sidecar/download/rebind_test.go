package download

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers each question for an IPv4 address with the present ones.
type nameServer struct{ now atomic.Pointer[[]string] }

func (n *nameServer) says(addresses ...string) { n.now.Store(&addresses) }

// serve has all names of this process resolved here.
func (n *nameServer) serve(t *testing.T) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = before; conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := n.answer(buf[:size]); err == nil {
				conn.WriteTo(answer, from)
			}
		}
	}()
}

func (n *nameServer) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	for _, q := range m.Questions {
		if q.Type != dnsmessage.TypeA {
			continue
		}
		for _, text := range *n.now.Load() {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0},
				Body: &dnsmessage.AResource{A: netip.MustParseAddr(text).As4()}})
		}
	}
	return m.Pack()
}

// A name that has led to a permitted address leads to a forbidden one a moment later,
// or to both at once: what counts is the address of each connection.
func TestNameThatChanges(t *testing.T) {
	var forbidden atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr).IP.String() != "127.0.0.1" {
			forbidden.Add(1)
		}
		w.Header().Set("Connection", "close") // the next request is another connection
		if to := r.FormValue("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	})
	server := httptest.NewUnstartedServer(handler)
	listener, err := net.Listen("tcp4", "0.0.0.0:0") // on every loopback address
	if err != nil {
		t.Fatal(err)
	}
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())

	var names nameServer
	names.serve(t)
	c := New(Limits{Bytes: 10, Timeout: 5 * time.Second, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	get := func(text string) error {
		u, err := url.Parse(strings.ReplaceAll(text, "PORT", port))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Get(t.Context(), u, "", io.Discard)
		return err
	}
	names.says("127.0.0.1")
	if err := get("http://files.example:PORT/x"); err != nil {
		t.Fatal(err)
	}
	names.says("127.0.0.2")
	for _, text := range []string{"http://files.example:PORT/x", "http://127.0.0.1:PORT/?to=http://files.example:PORT/x"} {
		if err := get(text); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%s: %v", text, err)
		}
	}
	names.says("127.0.0.2", "127.0.0.1")
	for range 5 {
		get("http://files.example:PORT/x") // may find the permitted one of both
	}
	if got := forbidden.Load(); got > 0 {
		t.Errorf("%d requests reached the forbidden address", got)
	}
}
