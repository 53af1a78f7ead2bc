package main

import (
	"errors"
	"strings"
	"testing"
)

const console = "[    0.1] Linux\r\n" +
	"vm: is Linux 6.1\r\n=== RUN   TestA\r\n    a_test.go:1: vm: not ours\r\n    --- PASS: TestA/part (0.00s)\r\n--- PASS: TestA (0.10s)\r\n" +
	"vm: passed mount in 1s\r\nvm: passed nodeagent in 1s\r\nvm: passed runtime in 1s\r\n"

func TestOnlyWhatWasHeardToPassHasPassed(t *testing.T) {
	good := "vm: passed swap in 2s\r\nvm: done\r\n"
	for end, want := range map[string]string{
		good:               passed,
		"vm: done\r\n":     failed,
		good[:20] + "\r\n": failed,
		"":                 failed,
		"--- FAIL: TestB (1s)\r\nvm: failed swap after 2s: exit status 1\r\nvm: done\r\n": failed,
		"--- SKIP: TestC (0s)\r\n" + good:                                                 failed,
	} {
		if r := read(strings.NewReader(console+end), func() {}); r.outcome() != want || r.platform != "Linux 6.1" || r.passed != 1 {
			t.Errorf("%q: %s, %+v", end, r.outcome(), r)
		}
	}
	if r := read(strings.NewReader(""), func() {}); r.outcome() != failed {
		t.Errorf("a silent machine has %s", r.outcome())
	}
}

func TestTheTableSaysWhy(t *testing.T) {
	broken := read(strings.NewReader(console+"--- FAIL: TestB (1s)\nvm: failed swap after 2s: exit status 1\n"), func() {})
	broken.row, broken.log = row{name: "old"}, "/the/console"
	text := table([]result{broken, {row: row{name: "none", suite: "potato"}, notRun: errors.New("no such suite")}})
	for _, want := range []string{"old FAILED: ", "tests TestB", "packages swap after 2s", "did not come to its end", "/the/console", "none not run: no such suite", "Debian potato"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestTheArchiveIsPadded(t *testing.T) {
	a := &archive{}
	a.add("init", 0o100755, []byte("#!"))
	got := string(a.bytes())
	if len(got)%4 != 0 || !strings.HasPrefix(got, "070701") || strings.Count(got, "070701") != 2 || !strings.Contains(got, "init\x00\x00#!\x00\x00070701") {
		t.Errorf("got %q", got)
	}
}
