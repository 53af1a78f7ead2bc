package main

import (
	"fmt"
	"time"
)

// row is a platform to run the tests on.
type row struct {
	name string
	arch string // as Go and Debian call it
	// suite of Debian that kernel, libc and runc are of, and containerd too
	// unless it is built.
	suite  string
	cgroup string // "v1" or "v2"
	// built: containerd is the release whose client the agent is built with.
	built  bool
	config string // version of containerd's configuration
}

func (r row) String() string {
	containerd := "its containerd"
	if r.built {
		containerd = "containerd 2"
	}
	return fmt.Sprintf("Debian %s on %s, cgroup %s, %s with configuration %s", r.suite, r.arch, r.cgroup, containerd, r.config)
}

// limit is generous: without KVM, and beside other work, a machine is slow.
const limit = 90 * time.Minute

var rows = []row{
	{name: "debian12", arch: "amd64", suite: "bookworm", cgroup: "v2", config: "2"},
	{name: "debian12-cgroup1", arch: "amd64", suite: "bookworm", cgroup: "v1", config: "2"},
	{name: "debian13", arch: "amd64", suite: "trixie", cgroup: "v2", config: "2"},
	{name: "containerd2", arch: "amd64", suite: "trixie", cgroup: "v2", built: true, config: "3"},
	{name: "containerd2-newest", arch: "amd64", suite: "sid", cgroup: "v2", built: true, config: "4"},
	{name: "debian12-arm64", arch: "arm64", suite: "bookworm", cgroup: "v2", config: "2"},
	{name: "containerd2-arm64", arch: "arm64", suite: "trixie", cgroup: "v2", built: true, config: "3"},
}

// chosen are the rows of a name; all if it is empty.
func chosen(name string) []row {
	var out []row
	for _, r := range rows {
		if name == "" || r.name == name {
			out = append(out, r)
		}
	}
	return out
}

func names() []string {
	var out []string
	for _, r := range rows {
		out = append(out, r.name)
	}
	return out
}

// emulator is what runs machines of an architecture, and Debian's package with it.
type emulator struct {
	program, pkg string
	args         []string
	accelerators []string // to be tried
	console      string
	triplet      string // of its libraries
	kernel       string // Debian's package of its kernel
}

const emulated = "tcg"

var emulators = map[string]emulator{
	"amd64": {program: "qemu-system-x86_64", pkg: "qemu-system-x86", console: "ttyS0", triplet: "x86_64-linux-gnu",
		args: []string{"-machine", "q35", "-cpu", "max,la57=off"}, accelerators: []string{"kvm", emulated}, kernel: "linux-image-cloud-amd64"},
	"arm64": {program: "qemu-system-aarch64", pkg: "qemu-system-arm", console: "ttyAMA0", triplet: "aarch64-linux-gnu",
		args: []string{"-machine", "virt", "-cpu", "cortex-a72"}, accelerators: []string{emulated}, kernel: "linux-image-cloud-arm64"},
}
