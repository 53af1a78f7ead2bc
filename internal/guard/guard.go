// Package guard keeps requests to URLs that strangers name away from addresses
// where only the machine itself, or a cloud's metadata service, can be meant.
//
// It promises that loopback, link-local and metadata addresses are never connected
// to, however they are spelled, resolved or redirected to, unless allowed.
package guard

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"
)

const dialTimeout = 10 * time.Second

// maxRedirects followed, each checked like the first address.
const maxRedirects = 5

// clouds are addresses where cloud providers hand out credentials, besides
// those that are link-local anyway.
var clouds = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS over IPv6
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("100.96.0.96/32"),     // Volcengine
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle
}

// wrapped are IPv6 ranges whose last four bytes are an IPv4 address.
var wrapped = []netip.Prefix{
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),    // NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"),  // NAT64 of one's own
	netip.MustParsePrefix("::ffff:0:0:0/96"), // SIIT
}

// sixToFour holds an IPv4 address in its third to sixth byte.
var sixToFour = netip.MustParsePrefix("2002::/16")

// Guard looks at the address that is dialled, after names were resolved, so that
// no spelling and no DNS answer gets around it.
type Guard struct {
	// Allow are addresses that would otherwise be refused, and Where is the setting
	// that holds them, as errors name it.
	Allow []netip.Prefix
	Where string
}

// control is called by the dialer with each address it is about to connect to.
func (g Guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	addr := to.Addr().WithZone("").Unmap()
	if contains(g.Allow, addr) {
		return nil
	}
	if why := refused(addr); why != "" {
		return fmt.Errorf("%s is refused: it is %s; to permit it add it to %s", addr, why, g.Where)
	}
	return nil
}

// refused says why an address is, "" if it is not.
func refused(addr netip.Addr) string {
	if contains(wrapped, addr) && !addr.IsLoopback() {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	if sixToFour.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[2:6]))
	}
	switch {
	case addr.IsLoopback():
		return "a loopback address"
	case addr.IsLinkLocalUnicast():
		return "a link-local address"
	case addr.IsMulticast(), addr.IsUnspecified(), addr.Is4() && addr.As4()[0] == 0:
		return "no address of one server"
	case contains(clouds, addr):
		return "a cloud's metadata service"
	}
	return ""
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Redirect is http.Client's check of each redirect.
func Redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return CheckURL(req.URL)
}

// CheckURL says what is wrong with a URL as such.
func CheckURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("scheme %q: only http and https are fetched", u.Scheme)
	case u.Hostname() == "":
		return errors.New("the URL names no host")
	case u.User != nil:
		return errors.New("the URL must not hold credentials: it is recorded where others can read it")
	}
	return nil
}

// WithoutURL drops the method and URL that net/http puts before every error: a
// query may hold a secret.
func WithoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// ParsePrefix reads what an operator allows: 10.0.0.1, or 127.0.0.0/8.
func ParsePrefix(text string) (netip.Prefix, error) {
	if one, err := netip.ParseAddr(text); err == nil {
		return one.Prefix(one.BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		err = fmt.Errorf("want an address such as 10.0.0.1 or 127.0.0.0/8, got %q", text)
	}
	return p, err
}

// Dialer connects to what the guard lets through.
func (g Guard) Dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, Control: g.control}
}
