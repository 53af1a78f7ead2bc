package api

import (
	"strings"
	"testing"
)

const freeze = `
apiVersion: hotpatch.dev/v1alpha1
kind: Suspension
metadata: {name: freeze}
spec: {namespaces: [games], reason: championship until Sunday}
`

func TestSuspensionSaysWhatItHolds(t *testing.T) {
	s, err := DecodeSuspension("freeze.yaml", []byte(freeze))
	if err != nil || !s.Over("games") || s.Over("default") {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = DecodeSuspension("freeze.yaml", []byte(strings.Replace(freeze, "namespaces: [games]", "all: true", 1)))
	if err != nil || !s.Over("games") || !s.Over("default") {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSuspensionErrors(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"namespaces: [games]", "namespaces: [games], all: true", "freeze.yaml: Suspension freeze: spec: give either namespaces or all: true"},
		{"namespaces: [games], ", "", "freeze.yaml: Suspension freeze: spec: give either namespaces or all: true"},
		{"namespaces: [games]", "namespace: games", "freeze.yaml: Suspension freeze: spec.namespace: unknown field"},
		{"[games]", "[games, '*']", `spec.namespaces[1]: want a namespace, got "*"`},
		{"[games]", "games", "spec.namespaces: want a list, got string"},
		{"name: freeze", "name: Freeze", "metadata.name: want a lower case DNS name"},
		{"championship until Sunday", "\"a\\nb\"", "spec.reason: want one line"},
		{"championship until Sunday", strings.Repeat("x", 201), "spec.reason: want one line of at most 200 bytes"},
		{"v1alpha1", "v2", "apiVersion: want hotpatch.dev/v1alpha1"},
	} {
		_, err := DecodeSuspension("freeze.yaml", []byte(strings.Replace(freeze, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s:\n got %v\nwant …%s", c.old, c.new, err, c.want)
		}
	}
}
