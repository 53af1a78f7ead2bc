package main

import (
	"slices"
	"testing"

	"hotpatch.dev/hotpatch/sidecar"
)

// Without arguments it stands where the existing sidecar does.
func TestDefaults(t *testing.T) {
	t.Setenv("POD_NAME", "game-0")
	t.Setenv("POD_NAMESPACE", "games")
	s, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	if o.Listen != ":5000" || o.Dir != "/app/downloads" || !slices.Equal(o.Configs, sidecar.ConfigFiles) || o.Pod.Name != "game-0" || o.Pod.Namespace != "games" {
		t.Errorf("%+v", o)
	}
}
