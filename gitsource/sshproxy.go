package gitsource

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
	"golang.org/x/net/proxy"
)

// dialSSH connects to a host, through the proxy that the environment names for it.
func dialSSH(ctx context.Context, address string) (net.Conn, error) {
	name, via, err := sshProxy(address)
	if err != nil {
		return nil, err
	}
	// The library is told of the context's end, but not when that will be: it would have
	// the connection time out, now and then before the context has ended, which says less.
	untimed, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, end)()
	conn, err := via.DialContext(untimed, "tcp", address)
	if err != nil && name != "" {
		return nil, fmt.Errorf("through the proxy in %s: %w", name, err)
	}
	return conn, err
}

// sshProxy is the way to a host, and the variable that names the proxy on it; "" if
// there is none. What is no proxy for SSH is an error: the library's own reading of
// the environment connects directly then, around the proxy that was to see it all.
func sshProxy(address string) (name string, via proxy.ContextDialer, err error) {
	value := ""
	for _, name = range []string{"ALL_PROXY", "all_proxy"} {
		if value = os.Getenv(name); value != "" {
			break
		}
	}
	if value == "" || spared(address) {
		return "", proxy.Direct, nil
	}
	refused := fmt.Errorf("%s is no proxy that SSH can go through: want socks5://HOST:PORT there, or the Git server's host in NO_PROXY", name)
	place, err := url.Parse(value)
	if err != nil || place.Hostname() == "" {
		return name, nil, refused
	}
	dialer, err := proxy.FromURL(place, proxy.Direct)
	via, ok := dialer.(proxy.ContextDialer)
	if err != nil || !ok {
		return name, nil, refused
	}
	return name, via, nil
}

// spared tells whether NO_PROXY has a host reached directly, by the rules that hold
// over HTTPS.
func spared(address string) bool {
	rules := httpproxy.FromEnvironment()
	rules.HTTPSProxy = "https://any.example"
	via, err := rules.ProxyFunc()(&url.URL{Scheme: "https", Host: address})
	return err == nil && via == nil
}
