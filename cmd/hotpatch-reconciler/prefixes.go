package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// prefixes is a flag: addresses, or prefixes of them, separated by commas.
type prefixes struct{ list *[]netip.Prefix }

func (p prefixes) String() string {
	var words []string
	if p.list != nil {
		for _, one := range *p.list {
			words = append(words, one.String())
		}
	}
	return strings.Join(words, ",")
}

func (p prefixes) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		one, err := netip.ParsePrefix(word)
		if addr, single := netip.ParseAddr(word); single == nil {
			one, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return fmt.Errorf("want an address such as 10.0.0.1 or 127.0.0.0/8, got %q", word)
		}
		*p.list = append(*p.list, one)
	}
	return nil
}

func (prefixes) Type() string { return "list" }
