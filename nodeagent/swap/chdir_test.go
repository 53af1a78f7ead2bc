package swap_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

func TestAWorkingDirectoryBelowTheRootMovesAlong(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	conn := c.Dial(t)
	conn.Must(t, "chdir /sub/dir")
	for i := range 6 {
		want := []string{"v2", "v3", "v1"}[i%3]
		result := do(t, request(t, c, v[want]))
		t.Logf("%d moved, %d threads stopped for %s", result.Moved, result.Stopped, result.StopTime)
		if got := conn.Must(t, "read version"); got != want || result.Moved != 1 {
			t.Errorf("the working directory reads %s on %s, %d were moved: %v", got, want, result.Moved, result.Stragglers)
		}
		if left := look(t, c).Stragglers; len(left) != 0 {
			t.Errorf("%v stayed behind", left)
		}
	}
}

// seen is what one thread of the waiter says, as its table has it.
type seen struct {
	Kind, Version [16]byte
	Trouble       [88]byte
	Rounds        int64
}

func word(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// waits has the waiter run in a container, with its directories in dir.
func waits(t testing.TB, c *runtimetest.Container, dir string, kinds ...string) {
	t.Helper()
	question := "start /waiter /share/waits " + dir
	for _, kind := range kinds {
		question += " " + kind
	}
	c.Dial(t).Must(t, question)
	for end := time.Now().Add(3 * time.Second); len(table(t, c)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(c.Share, "log"))
			t.Fatalf("the waiter does not wait: %s", log)
		}
	}
}

func table(t testing.TB, c *runtimetest.Container) (all []seen) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Share, "waits"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for r := bytes.NewReader(text); r.Len() > 0; {
		var s seen
		if err := binary.Read(r, binary.LittleEndian, &s); err != nil {
			t.Fatal(err)
		}
		if s.Rounds > 0 {
			all = append(all, s)
		}
	}
	return all
}

// awaitAll waits until every thread has come back from its call, found itself on
// a version, and nothing wrong.
func awaitAll(t testing.TB, c *runtimetest.Container, version string) {
	t.Helper()
	before := map[string]int64{}
	for _, s := range table(t, c) {
		before[word(s.Kind[:])] = s.Rounds
	}
	for end := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		wrong := ""
		for _, s := range table(t, c) {
			kind := word(s.Kind[:])
			if trouble := word(s.Trouble[:]); trouble != "" {
				t.Fatalf("%s: %s", kind, trouble)
			}
			if got := word(s.Version[:]); got != version {
				wrong += kind + " is on " + got + "; "
			}
			if s.Rounds < before[kind]+2 {
				wrong += kind + " does not come back; "
			}
		}
		if wrong == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("on %s: %s", version, wrong)
		}
	}
}

func TestEveryKindOfThreadMovesAndNoticesNothing(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	waits(t, c, "/sub/dir")
	awaitAll(t, c, "v1")
	for i := range 12 {
		want := []string{"v2", "v3", "v1"}[i%3]
		result := do(t, request(t, c, v[want]))
		t.Logf("%d moved, %d threads stopped for %s", result.Moved, result.Stopped, result.StopTime)
		awaitAll(t, c, want)
		if len(result.Stragglers) != 0 || result.Moved != len(table(t, c)) {
			t.Errorf("%d of %d moved: %v", result.Moved, len(table(t, c)), result.Stragglers)
		}
	}
}

func TestASpinningThreadMoves(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	waits(t, c, "/sub/dir", "spin")
	for i := range 6 {
		want := []string{"v2", "v3", "v1"}[i%3]
		do(t, request(t, c, v[want]))
		awaitAll(t, c, want)
	}
}
