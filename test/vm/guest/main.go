// Command guest is the first process of a test machine. It makes of a bare
// kernel what a node is, runs the tests, says on the console how they ended,
// and switches the machine off.
package main

import (
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		work()
		return
	}
	if err := boot(); err != nil {
		say("failed boot: %v", err)
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// boot comes up, and has the tests run in a process of their own: the first one
// must bury orphans, which shims leave to it, and would take other children's
// ends for theirs.
func boot() error {
	if err := comeUp(os.Getenv("GROUPS")); err != nil {
		return err
	}
	worker := exec.Command("/proc/self/exe")
	worker.Args[0] = "guest"
	worker.Path = "/usr/bin/guest"
	worker.Stdout, worker.Stderr = os.Stdout, os.Stderr
	if err := worker.Start(); err != nil {
		return err
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if pid == worker.Process.Pid || err == unix.ECHILD {
			return nil
		}
	}
}

// say tells who reads the console.
func say(format string, args ...any) {
	fmt.Printf("\nvm: "+format+"\n", args...)
}
