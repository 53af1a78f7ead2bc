package main

import (
	"net/netip"
	"strings"

	"hotpatch.dev/hotpatch/internal/guard"
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
		one, err := guard.ParsePrefix(word)
		if err != nil {
			return err
		}
		*p.list = append(*p.list, one)
	}
	return nil
}

func (prefixes) Type() string { return "list" }
