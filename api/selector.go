package api

import (
	"slices"
	"strings"
)

// String is the selector in kubectl's form: "a=1,b=2".
func (s Selector) String() string {
	var parts []string
	for k, v := range s.MatchLabels {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}
