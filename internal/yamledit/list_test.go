package yamledit

import (
	"errors"
	"testing"
)

func TestLists(t *testing.T) {
	for _, c := range []struct{ text, appended, removed string }{
		{"r:\n- a.yaml # first\n- b.yaml\n# end\nn: x\n", "r:\n- a.yaml # first\n- b.yaml\n- c.yaml\n# end\nn: x\n", "r:\n- b.yaml\n# end\nn: x\n"},
		{"r:\n  - a.yaml\n  -  b.yaml", "r:\n  - a.yaml\n  -  b.yaml\n  -  c.yaml\n", "r:\n  -  b.yaml"},
		{"r: [a.yaml,  \"b.yaml\" ] # all\n", "r: [a.yaml,  \"b.yaml\", c.yaml ] # all\n", "r: [\"b.yaml\" ] # all\n"},
		{"r: [b.yaml, a.yaml]\n", "r: [b.yaml, a.yaml, c.yaml]\n", "r: [b.yaml]\n"},
		{"r: [a.yaml]\n", "r: [a.yaml, c.yaml]\n", ""},
		{"r: []\n", "", ""},
		{"n: x\n", "", ""},
		{"r:\n- {a: b}\n", "", ""},
	} {
		got, err := edit(t, c.text, func(d Document) ([]byte, error) { return d.Append("c.yaml", "r") })
		if got != c.appended || (c.appended == "") != errors.Is(err, ErrLayout) {
			t.Errorf("to %q was appended: %q, %v", c.text, got, err)
		}
		got, err = edit(t, c.text, func(d Document) ([]byte, error) { return d.Remove("a.yaml", "r") })
		if got != c.removed || (c.removed == "") != errors.Is(err, ErrLayout) {
			t.Errorf("from %q was removed: %q, %v", c.text, got, err)
		}
	}
}
