package api

import (
	"strings"
	"testing"
)

const frozen = `apiVersion: hotpatch.dev/v1alpha1
kind: Suspension
metadata: {name: freeze}
spec:
  namespaces: [games, lobby]
  reason: championship until Sunday
`

// generateSuspension makes the schema of a Suspension as a person writes one.
func generateSuspension(t *testing.T) []byte {
	t.Helper()
	s := reflector(t).Reflect(Suspension{})
	s.ID = "https://hotpatch.dev/schema/v1alpha1/suspension.json"
	at(s, "apiVersion").Enum = []any{APIVersion}
	at(s, "kind").Enum = []any{KindSuspension}
	at(s, "metadata.name").Pattern = namePattern.String()
	at(s, "spec").OneOf = given([]string{"namespaces"}, []string{"all"})
	at(s, "spec.all").Enum = []any{true}
	at(s, "spec.namespaces").Pattern = namePattern.String()
	namespaces, _ := at(s, "spec").Properties.Get("namespaces")
	one, most := uint64(1), uint64(maxReason)
	namespaces.MinItems = &one
	at(s, "spec.reason").Pattern, at(s, "spec.reason").MaxLength = `^[^\n]*$`, &most
	return written(t, s)
}

func TestSuspensionSchemaAgreesWithDecode(t *testing.T) {
	agrees := agreement(t, generateSuspension(t), frozen, func(doc []byte) error { _, err := DecodeSuspension("f", doc); return err })
	for _, edit := range []struct {
		name, old, new string
		ok             bool
	}{
		{"as it is", "", "", true},
		{"all", "namespaces: [games, lobby]", "all: true", true},
		{"without a reason", "  reason: championship until Sunday\n", "", true},
		{"nothing", "  namespaces: [games, lobby]\n", "", false},
		{"both", "namespaces: [games, lobby]", "namespaces: [games]\n  all: true", false},
		{"no namespace", "[games, lobby]", "[]", false},
		{"one in words", "[games, lobby]", "[All games]", false},
		{"not a list", "[games, lobby]", "games", false},
		{"all in words", "namespaces: [games, lobby]", "all: 'yes'", false},
		{"a long reason", "championship", strings.Repeat("x", maxReason), false},
		{"lines of reasons", "championship until Sunday", `"a\nb"`, false},
		{"unknown field", "reason:", "raeson:", false},
		{"no name", "{name: freeze}", "{}", false},
		{"capital name", "freeze}", "Freeze}", false},
		{"other kind", "kind: Suspension", "kind: HotPatch", false},
	} {
		t.Run(edit.name, func(t *testing.T) { agrees(t, edit.old, edit.new, edit.ok) })
	}
}
