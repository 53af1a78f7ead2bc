package kube

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The answers are those that a 1.37 API server gave.
func TestWritesThatMissedTheirPodAreKnown(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	uid := field.Invalid(field.NewPath("metadata", "uid"), "other", "field is immutable")
	annotation := field.TooLong(field.NewPath("metadata", "annotations"), "", 262144)
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"older version":       {apierrors.NewConflict(pods, "game-0", errors.New("modified")), true},
		"gone":                {apierrors.NewNotFound(pods, "game-0"), true},
		"made again":          {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "game-0", field.ErrorList{uid}), true},
		"annotation too long": {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "game-0", field.ErrorList{annotation}), false},
		"forbidden":           {apierrors.NewForbidden(pods, "game-0", errors.New("no")), false},
		"none":                {nil, false},
	} {
		if got := isAnother(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
