package nodeagent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// maxAnswer is how much of an answer that is no success is repeated.
const maxAnswer = 200

// request sends a reload to a port of a process's network namespace, on
// localhost: many programs take such requests from nowhere else, and no network
// policy is in the way.
func request(ctx context.Context, pid int, r api.HTTPReload) error {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	path, err := url.ParseRequestURI(r.Path)
	if err != nil {
		return fmt.Errorf("reload.http.path: %w", err)
	}
	path.Scheme, path.Host = "http", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Port))
	order, err := http.NewRequestWithContext(ctx, method, path.String(), nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialIn(ctx, pid, network, address)
	}}
	// A redirect would lead out of what was asked for.
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(order)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		words, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		return fmt.Errorf("%s %s answers %s: %s", method, path, answer.Status, strings.TrimSpace(string(words)))
	}
	return nil
}

// dialIn connects from within a process's network namespace. The socket belongs
// to it for good; the thread that made it does not come back.
func dialIn(ctx context.Context, pid int, network, address string) (conn net.Conn, err error) {
	err = mount.Thread(func() error {
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			return fmt.Errorf("the container's first process is gone: %w", err)
		}
		defer namespace.Close()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the pod's network: %w", err)
		}
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
