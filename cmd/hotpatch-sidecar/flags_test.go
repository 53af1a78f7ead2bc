package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

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

// Every flag stands in the reference, with the default that it has.
func TestEveryFlagIsInTheReference(t *testing.T) {
	page, err := os.ReadFile("../../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	var s settings
	s.flags().VisitAll(func(f *pflag.Flag) {
		for line := range strings.Lines(string(page)) {
			if strings.HasPrefix(line, "| `--") && strings.Contains(line, "`--"+f.Name+"`") {
				if want := strings.Trim(f.DefValue, "[]"); want != "false" && !strings.Contains(line, "`"+want+"`") {
					t.Errorf("--%s: its default %s is not in %s", f.Name, want, line)
				}
				return
			}
		}
		t.Errorf("--%s is not in docs/sidecar.md", f.Name)
	})
}
