package plan

import (
	"os"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

// TestCanaryExample plays the story of examples/canary: its README shows these
// words.
func TestCanaryExample(t *testing.T) {
	const file = "../../examples/canary/hotpatch/arena.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := api.Decode(file, text)
	if err != nil {
		t.Fatal(err)
	}
	s := newScript()
	s.c.rollout = h.Spec.Rollout
	play := func(command, want string) {
		t.Helper()
		var got string
		for line := range strings.SplitSeq(command, "; ") {
			words, err := s.do(strings.Fields(line))
			if err != nil {
				t.Fatal(err)
			}
			got += words
		}
		if !strings.Contains(got, want) {
			t.Errorf("after %q:\n%s, want …%s…", command, got, want)
		}
	}
	play("pods game 8 on n1; stable v1; revision v2; step", "step 1 of 4: images are pulled ahead")
	play("run; wait 10s; run", "Paused: step 2 of 4: paused until somebody runs hotpatch promote game\ndesired 1, updated 1,")
	play("promote v2@2; run; wait 10s; run; wait 10s; run", "Paused: step 4 of 4: paused until Mon 2026-11-30 12:10:30 UTC\ndesired 4, updated 4,")
	play("wait 10m; run; wait 10s; run", "Complete\ndesired 8, updated 8,")
}
