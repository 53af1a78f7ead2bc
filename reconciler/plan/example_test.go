package plan

import (
	"os"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

// example plays the story of a HotPatch in examples: its README shows these words.
func example(t *testing.T, file string) (play func(command, want string)) {
	t.Helper()
	file = "../../examples/" + file
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
	return func(command, want string) {
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
}

func TestCanaryExample(t *testing.T) {
	play := example(t, "canary/hotpatch/arena.yaml")
	play("pods game 8 on n1; stable v1; revision v2; step", "step 1 of 4: images are pulled ahead")
	play("run; wait 10s; run", "Paused: step 2 of 4: paused until somebody runs hotpatch promote game\ndesired 1, updated 1,")
	play("promote v2@2; run; wait 10s; run; wait 10s; run", "Paused: step 4 of 4: paused until Mon 2026-11-30 12:10:30 UTC\ndesired 4, updated 4,")
	play("wait 10m; run; wait 10s; run", "Complete\ndesired 8, updated 8,")
}

func TestWindowExample(t *testing.T) {
	play := example(t, "window/hotpatch/realm.yaml")
	play("pods game 4 on n1; stable v1; revision v2; run", "Paused: outside of its window; the next opens Tue 2026-12-01 03:00 Asia/Shanghai\ndesired 4, updated 0,")
	play("clock 2026-12-01T03:00:00+08:00; run", "desired 4, updated 1,")
	play("wait 30m; run", "desired 4, updated 2,")
	play("wait 30m; run", "Paused: outside of its window; the next opens Wed 2026-12-02 03:00 Asia/Shanghai\ndesired 4, updated 2,")
	play("clock 2026-12-02T03:00:00+08:00; run; wait 30m; run", "desired 4, updated 4,")
	play("wait 30m; run", "Complete\ndesired 4, updated 4,")
}
