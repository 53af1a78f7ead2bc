package guard

import (
	"net/netip"
	"net/url"
	"testing"
)

func TestRefusedAddresses(t *testing.T) {
	for text, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "::127.0.0.1": true, "64:ff9b::7f00:1": true,
		"169.254.169.254": true, "169.254.0.1": true, "fe80::1": true, "fe80::1%eth0": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true,
		"64:ff9b:1::a9fe:a9fe": true, "::ffff:0:7f00:1": true, "2002:7f00:1::": true, "2002:a9fe:a9fe::1": true, "2002:cb00:7107::1": false,
		"0.0.0.0": true, "0.1.2.3": true, "::": true, "224.0.0.1": true, "ff02::1": true,
		"fd00:ec2::254": true, "100.100.100.200": true, "100.96.0.96": true, "168.63.129.16": true, "192.0.0.192": true,
		"10.0.0.1": false, "10.246.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "100.64.0.1": false, "fd00::1": false, "203.0.113.7": false, "2001:db8::1": false,
	} {
		err := Guard{}.control("tcp", netip.AddrPortFrom(netip.MustParseAddr(text), 80).String(), nil)
		if (err != nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	allowed := Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	for address, want := range map[string]bool{"127.0.0.1:80": false, "[::ffff:127.0.0.1]:80": false, "127.0.0.2:80": true, "not an address": true} {
		if err := allowed.control("tcp", address, nil); (err != nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://a/x": true, "https://a:8443/x": true, "HTTP://a/x": true,
		"ftp://a/x": false, "file:///etc/passwd": false, "/x": false, "http:///x": false, "http://:80/x": false, "http://me@a/x": false, "http://me:pw@a/x": false, "gopher://a": false,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckURL(u); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
