package swap

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// Numbers are used again: by the time it is seized, one may be a process of the
// host's, which must be neither held nor led anywhere.
func TestAStrangerIsLetGo(t *testing.T) {
	proc, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	own, stranger := sleeper(t), sleeper(t)
	looks := 0
	pids := func() ([]int, error) {
		if looks++; looks == 1 {
			return []int{own, stranger}, nil
		}
		return []int{own}, nil
	}
	if err := mount.Thread(func() error {
		tracer := newTracer(proc, pids)
		defer tracer.release()
		if err := tracer.stopAll(10 * time.Second); err != nil {
			return err
		}
		if tracer.threads[own] == nil || !tracer.threads[own].stopped || tracer.threads[stranger] != nil {
			t.Errorf("held are %v", tracer.threads)
		}
		if by := tracer.tracedBy(stranger); by != "0" || tracer.state(stranger) == 't' {
			t.Errorf("the stranger is held by %s, in state %c", by, tracer.state(stranger))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe") // test machines have no other program
	cmd.Env = append(os.Environ(), "HOTPATCH_TEST_SLEEPER=yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd.Process.Pid
}
