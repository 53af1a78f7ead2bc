package nodeagent

import (
	"os"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

// all is a container that takes its writable layer along to an image.
func all(image string) api.DesiredContainer {
	return api.DesiredContainer{Name: "main", Image: image, Carry: []string{api.CarryAll, "/data"}}
}

func TestAllThatWasWrittenGoesAlong(t *testing.T) {
	s := tell(t)
	s.agent()
	conn := s.main.Dial(t)
	for _, question := range []string{"write /conf mine", "write /data/x mine", "write /only-here mine", "chown /conf"} {
		conn.Must(t, question)
	}
	for _, step := range []struct{ revision, image string }{{"r2", refs["v2"]}, {"r3", refs["v3"]}} {
		s.wants(step.revision, all(step.image))
		s.sees(step.revision, api.StatePatched)
		s.becomes("read /version", "v"+strings.TrimPrefix(step.revision, "r"))
		for _, path := range []string{"/conf", "/data/x", "/only-here"} {
			s.becomes("read "+path, "mine")
		}
		s.becomes("read /data/of", "v1") // bound, not copied
		conn.Must(t, "write /conf mine")
	}
	s.wants("r1", all(""))
	s.sees("r1", api.StateRestored)
	s.becomes("read /version", "v1")
	s.becomes("read /conf", "mine")
	if err := os.Remove(s.main.Root("/only-here")); err != nil {
		t.Fatal(err)
	}
	s.wants("r2-again", all(refs["v2"]))
	s.sees("r2-again", api.StatePatched)
	if answer, _ := conn.Ask("read /only-here"); !strings.HasPrefix(answer, "error") {
		t.Errorf("what was deleted on its own root is there: %s", answer)
	}
}

func TestTooMuchThatWasWrittenChangesNothing(t *testing.T) {
	s := tell(t)
	s.options.CarryLimit.Bytes = 5000
	s.agent()
	s.main.Dial(t).Must(t, "write /big "+strings.Repeat("x", 9000))
	s.wants("r2", all(refs["v2"]))
	is := s.sees("r2", api.StateFailed)
	for _, part := range []string{"nothing was changed", "the container has written more than is taken along: 8.8 KiB in 1 entry, where the limit is 4.9 KiB in 100 entries", "raise the agent's limit"} {
		if !strings.Contains(is.Message, part) {
			t.Errorf("the message %q lacks %q", is.Message, part)
		}
	}
	s.becomes("read /version", "v1")
	if err := os.Truncate(s.main.Root("/big"), 100); err != nil {
		t.Fatal(err)
	}
	s.sees("r2", api.StatePatched)
	s.becomes("read /version", "v2")
	s.becomes("read /big", strings.Repeat("x", 100))
	s.keeps(1)
}
