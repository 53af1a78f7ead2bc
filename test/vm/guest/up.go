package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// comeUp goes from the kernel's initial filesystem to the disk, and mounts what
// a node has mounted.
func comeUp(groups string) error {
	if err := mountAll(filesystem{"devtmpfs", "/dev", "", 0}, filesystem{"proc", "/proc", "", 0}, filesystem{"sysfs", "/sys", "", 0}); err != nil {
		return err
	}
	if err := loadModules(); err != nil {
		return err
	}
	if err := toDisk("/dev/vda"); err != nil {
		return err
	}
	if err := mountAll(filesystem{"tmpfs", "/run", "mode=755", 0}, filesystem{"tmpfs", "/dev/shm", "", 0}); err != nil {
		return err
	}
	return errors.Join(mountGroups(groups), loopbackUp(), unix.Sethostname([]byte("vm")))
}

type filesystem struct {
	kind, on, data string
	flags          uintptr
}

func mountAll(all ...filesystem) error {
	for _, f := range all {
		if err := os.MkdirAll(f.on, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(f.kind, f.on, f.kind, f.flags, f.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", f.kind, f.on, err)
		}
	}
	return nil
}

// loadModules loads what the initial filesystem has, in the order of the names.
func loadModules() error {
	files, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := unix.InitModule(content, ""); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

// toDisk makes the disk the root. The initial filesystem cannot be pivoted away
// from, so the disk is moved on top of it: containers' roots can be pivoted then.
func toDisk(device string) error {
	if err := await(device); err != nil {
		return err
	}
	if err := unix.Mount(device, "/root", "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount the disk: %w", err)
	}
	for _, on := range []string{"/dev", "/proc", "/sys"} {
		if err := unix.Mount(on, "/root"+on, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", on, err)
		}
	}
	if err := unix.Chdir("/root"); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	return errors.Join(unix.Chroot("."), unix.Chdir("/"))
}

func await(file string) (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err = os.Stat(file); err == nil {
			return nil
		}
	}
	return err
}

// mountGroups mounts cgroups as systemd does for that version.
func mountGroups(version string) error {
	const on = "/sys/fs/cgroup"
	switch version {
	case "v2":
		return mountV2(on)
	case "v1":
		return mountV1(on)
	}
	return fmt.Errorf("what is cgroup %q?", version)
}

// mountV2 hands all controllers on, as systemd does.
func mountV2(on string) error {
	if err := mountAll(filesystem{"cgroup2", on, "", 0}); err != nil {
		return err
	}
	names, err := os.ReadFile(on + "/cgroup.controllers")
	if err != nil {
		return err
	}
	var turnOn []string
	for _, name := range strings.Fields(string(names)) {
		turnOn = append(turnOn, "+"+name)
	}
	return os.WriteFile(on+"/cgroup.subtree_control", []byte(strings.Join(turnOn, " ")), 0o644)
}

// mountV1 has a hierarchy for each controller that the kernel has enabled.
func mountV1(on string) error {
	table, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return err
	}
	all := []filesystem{{"tmpfs", on, "mode=755", 0}, {"cgroup", on + "/systemd", "none,name=systemd", 0}}
	for line := range bytes.Lines(table) {
		if f := strings.Fields(string(line)); len(f) == 4 && f[3] == "1" {
			all = append(all, filesystem{"cgroup", filepath.Join(on, f[0]), f[0], 0})
		}
	}
	return mountAll(all...)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bring the loopback up: %w", err)
	}
	return nil
}
