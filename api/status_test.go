package api

import "testing"

func TestVersionIsWhatPeopleCallIt(t *testing.T) {
	image := func(image string) HotPatchStatus {
		return HotPatchStatus{Images: map[string]string{"main": image}, Containers: []DesiredContainer{{Name: "main", Image: "digest"}, {Name: "other"}}}
	}
	for want, status := range map[string]HotPatchStatus{
		"v2":              image("registry.example:5000/game:v2"),
		"latest":          image("registry.example:5000/game"),
		"0123456789ab":    image("game@sha256:0123456789abcdef"),
		"their own image": image(""),
		"v7":              {Files: []DesiredFile{{Version: "v7"}}},
		"":                {},
	} {
		if got := status.Version(); got != want {
			t.Errorf("%v: %q, want %q", status, got, want)
		}
	}
}
