package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// work says what this machine is and runs the tests that it was given.
func work() {
	os.Setenv("PATH", "/usr/sbin:/usr/bin")
	os.Setenv("HOME", "/run")
	os.Setenv("HOTPATCH_TEST_SERVER", "/usr/bin/server")
	os.Setenv("HOTPATCH_TEST_PROGRAMS", "/usr/bin")
	os.Setenv("HOTPATCH_TEST_CONFIG", os.Getenv("CONFIG"))
	os.Setenv("HOTPATCH_TEST_SLOWER", "10") // without KVM
	say("is %s", platform())
	programs, err := filepath.Glob("/usr/bin/*.test")
	if err != nil {
		say("failed %v", err)
	}
	for _, program := range programs {
		name := strings.TrimSuffix(filepath.Base(program), ".test")
		began := time.Now()
		err := test(program, os.Getenv("RUN"))
		took := time.Since(began).Round(time.Second)
		if err != nil {
			say("failed %s after %s: %v", name, took, err)
			continue
		}
		say("passed %s in %s", name, took)
	}
	say("done")
}

func test(program, pattern string) error {
	args := []string{"-test.v", "-test.timeout=1h"}
	if pattern != "" {
		args = append(args, "-test.run="+pattern)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = "/tmp"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// platform is read off the running machine, not off what it was made of.
func platform() string {
	var name unix.Utsname
	unix.Uname(&name)
	groups := "v1"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		groups = "v2"
	}
	return fmt.Sprintf("Linux %s %s, cgroup %s, containerd %s, runc %s, configuration %s", unix.ByteSliceToString(name.Release[:]),
		unix.ByteSliceToString(name.Machine[:]), groups, version("containerd", 2), version("runc", 2), os.Getenv("CONFIG"))
}

// version is a word of what a program says of itself.
func version(program string, word int) string {
	out, err := exec.Command(program, "--version").Output()
	if words := strings.Fields(string(out)); err == nil && len(words) > word {
		return words[word]
	}
	return fmt.Sprintf("none (%v)", err)
}
