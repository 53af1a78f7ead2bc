package plan

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write what happens into testdata/*.txt")

// TestScenarios plays the stories of testdata. Each paragraph is commands, the
// line "----", and what they print; script_test.go has the commands. Read what
// `go test ./reconciler/plan -rewrite` changed before you commit it.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := play(string(text))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// play returns a file as it should be: its commands with what they print now.
// A line "== words" begins the next story of the file on an empty cluster.
func play(text string) (string, error) {
	var out strings.Builder
	s, printed, skip := newScript(), "", false
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case strings.TrimSpace(line) == "":
			skip = false
		case skip:
			continue // what was printed the last time
		case line == "----":
			out.WriteString("----\n" + printed)
			printed, skip = "", true
			continue
		case strings.HasPrefix(line, "=="):
			s = newScript()
		case !strings.HasPrefix(line, "#"):
			words, err := s.do(strings.Fields(line))
			if err != nil {
				return "", fmt.Errorf("line %d: %s: %w", i+1, line, err)
			}
			printed += words
		}
		out.WriteString(line + "\n")
	}
	if printed != "" {
		return "", fmt.Errorf("what the last commands print is not asked for: a line ---- is missing")
	}
	return out.String(), nil
}
