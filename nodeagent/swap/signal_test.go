package swap_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// while are the moments at which a program stands still.
func while() []string {
	return slices.Concat([]string{"stop", "pivot"}, swap.Moments, []string{"chdir", "signal"})
}

// said is the last that a program that answers signals has said.
func said(t *testing.T, c *runtimetest.Container) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Share, "odd"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// signalled is a swap during which a process gets a signal.
func signalled(req swap.Request, moment string, pid int) swap.Request {
	req.At = func(at string) {
		if at == moment {
			unix.Kill(pid, unix.SIGUSR1)
		}
	}
	return req
}

// As the kernel would have let them end, whatever they were led to do meanwhile.
func TestASignalThatComesMeanwhileEndsTheCall(t *testing.T) {
	for _, call := range []string{"pause", "sigsuspend", "ppoll", "pselect", "epoll_pwait"} {
		t.Run(call, func(t *testing.T) {
			c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
			pid := odd(t, c, "answer", "/sub/dir", call)
			for i, moment := range while() {
				eventually(t, func() string { return field(t, pid, "State")[:1] }, "S") // in its call
				want := []string{"v2", "v3"}[i%2]
				result := do(t, signalled(patient(t, c, want), moment, pid))
				eventually(t, func() string { return said(t, c) }, fmt.Sprintf("%d caught, %d back", i+1, i+1))
				if t.Failed() || at(t, fmt.Sprint(pid)) != want {
					t.Fatalf("with a signal at %s, it is at %s on %s: %v", moment, at(t, fmt.Sprint(pid)), want, result.Stragglers)
				}
			}
		})
	}
}

// A program that lets a signal come only while it waits must be woken by it, even
// if it came while the agent had hold of the program, and was killed.
func TestASignalIsNotLostWithTheAgent(t *testing.T) {
	for _, call := range []string{"sigsuspend", "ppoll", "pselect", "epoll_pwait"} {
		t.Run(call, func(t *testing.T) {
			c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
			pid := odd(t, c, "answer", "/sub/dir", call)
			for i, moment := range while() {
				want := []string{"v2", "v3"}[i%2]
				kill(t, patient(t, c, want), Death{KillAt: moment, Signal: unix.SIGUSR1, To: pid})
				eventually(t, func() string { return said(t, c) }, fmt.Sprintf("%d caught, %d back", i+1, i+1))
				if t.Failed() {
					t.Fatalf("killed at %s", moment)
				}
			}
		})
	}
}
