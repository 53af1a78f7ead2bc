package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// KindSuspension is the kind of a Suspension.
const KindSuspension = "Suspension"

// Suspension has nothing new start for the HotPatches of some namespaces, or for
// all of them. It says which by itself, not by where it stands: a kustomization
// that sets a namespace does not narrow it.
type Suspension struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   Metadata       `json:"metadata"`
	Spec       SuspensionSpec `json:"spec"`
}

// SuspensionSpec says what is suspended.
type SuspensionSpec struct {
	// Namespaces whose HotPatches are suspended.
	Namespaces []string `json:"namespaces,omitempty"`
	// All HotPatches are.
	All bool `json:"all,omitempty"`
	// Reason for people, in one line.
	Reason string `json:"reason,omitempty"`
}

// Over tells whether the HotPatches of a namespace are suspended.
func (s Suspension) Over(namespace string) bool {
	return s.Spec.All || slices.Contains(s.Spec.Namespaces, namespace)
}

// String names it, with its reason.
func (s Suspension) String() string {
	if s.Spec.Reason == "" {
		return KindSuspension + " " + s.Metadata.Name
	}
	return fmt.Sprintf("%s %s (%s)", KindSuspension, s.Metadata.Name, s.Spec.Reason)
}

// DecodeSuspension reads one Suspension from YAML or JSON and validates it, as
// Decode does a HotPatch.
func DecodeSuspension(file string, doc []byte) (Suspension, error) {
	var s Suspension
	object := func() string { return describe(s.Kind, s.Metadata) }
	if err := decodeStrict(file, doc, &s, object); err != nil {
		return s, err
	}
	return s, s.Validate(file)
}

const maxReason = 200

// Validate reports everything that is wrong, each as an *Error that names file.
func (s Suspension) Validate(file string) error {
	v := &validation{file: file, object: describe(s.Kind, s.Metadata)}
	v.check(s.APIVersion == APIVersion, "apiVersion", "want %s, got %q", APIVersion, s.APIVersion)
	v.check(s.Kind == KindSuspension, "kind", "want %s, got %q", KindSuspension, s.Kind)
	v.check(namePattern.MatchString(s.Metadata.Name), "metadata.name", "want a lower case DNS name, got %q", s.Metadata.Name)
	v.check((len(s.Spec.Namespaces) > 0) != s.Spec.All, "spec", "give either namespaces or all: true")
	for i, namespace := range s.Spec.Namespaces {
		v.check(namePattern.MatchString(namespace), fmt.Sprintf("spec.namespaces[%d]", i), "want a namespace, got %q", namespace)
	}
	v.check(len(s.Spec.Reason) <= maxReason && !strings.Contains(s.Spec.Reason, "\n"), "spec.reason", "want one line of at most %d bytes", maxReason)
	return errors.Join(v.errs...)
}
