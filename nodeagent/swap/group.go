package swap

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// Processes are the PIDs of a container, by its first process: those of its
// cgroup, and of those that it has made below it.
func Processes(cgroupDir string, pid int) ([]int, error) {
	proc, cgroups, err := openHost(cgroupDir)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	defer cgroups.Close()
	read, err := processes(proc, cgroups, pid)
	if err != nil {
		return nil, err
	}
	return read()
}

// openHost holds on to the host's /proc and cgroups, for after this thread has
// changed its namespace.
func openHost(cgroupDir string) (proc, cgroups *os.File, err error) {
	if proc, err = os.Open("/proc"); err != nil {
		return nil, nil, err
	}
	if cgroups, err = os.Open(cgroupDir); err != nil {
		proc.Close()
		return nil, nil, err
	}
	return proc, cgroups, nil
}

// processes returns a reader of the container's PIDs. An empty cgroup, or one
// without the first process, would mean that nothing is stopped while
// everything looks well, so it is refused.
func processes(proc, cgroups *os.File, first int) (func() ([]int, error), error) {
	var group string
	read := func() (pids []int, err error) {
		groups, err := withChildren(cgroups, group)
		for _, g := range groups {
			text, err := readAt(cgroups, path.Join(g, "cgroup.procs"))
			if g != group && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP)) {
				continue // it is gone, or one of threads, whose processes are those of a group above
			}
			if err != nil {
				return nil, fmt.Errorf("read the processes of the cgroup: %w", err)
			}
			pids = append(pids, numbers(strings.Fields(string(text)))...)
		}
		return pids, err
	}
	return read, patiently(func() (err error) {
		if group, err = groupOf(proc, first); err != nil {
			return err
		}
		pids, err := read()
		if err == nil && !slices.Contains(pids, first) {
			err = fmt.Errorf("cgroup %s does not hold process %d: it has ended, or %s is not the host's", group, first, cgroups.Name())
		}
		return err
	})
}

// maxGroups is how many cgroups a container may have made: each is read while its
// processes stand still.
const maxGroups = 256

// withChildren are a cgroup and those below it, as privileged containers make them.
func withChildren(cgroups *os.File, group string) (all []string, err error) {
	all = []string{group}
	for i := 0; i < len(all); i++ {
		var stat unix.Stat_t
		if err := unix.Fstatat(int(cgroups.Fd()), all[i], &stat, 0); err != nil || stat.Nlink <= 2 {
			continue // the kernel counts children so, which is sooner asked than a list
		}
		children, err := directories(cgroups, all[i])
		if err != nil {
			return all, fmt.Errorf("read the cgroups of the container: %w", err)
		}
		if all = append(all, children...); len(all) > maxGroups {
			return all, fmt.Errorf("the container has made more than %d cgroups, so it is not known in time which processes to stop", maxGroups)
		}
	}
	return all, nil
}

// directories are the paths of those in a directory; none when it is gone.
func directories(dir *os.File, name string) (all []string, err error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	} else if err != nil {
		return nil, &os.PathError{Op: "open", Path: path.Join(dir.Name(), name), Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, path.Join(name, e.Name()))
		}
	}
	return all, err
}

// patiently reads again what cannot be read. While a program executes itself
// anew from a thread that is not its first, /proc shows the process as one that
// has ended, until that thread has taken over its number.
func patiently(read func() error) error {
	const limit = 130 * time.Millisecond // in all twice that: busy nodes are slow
	for pause := 2 * time.Millisecond; ; pause *= 2 {
		err := read()
		if err == nil || pause > limit || errors.Is(err, mount.ErrTooMany) {
			return err
		}
		time.Sleep(pause)
	}
}

// groupOf is a process's cgroup below the cgroup filesystem: in the freezer
// hierarchy of v1, or the only one of v2.
func groupOf(proc *os.File, pid int) (string, error) {
	text, err := readAt(proc, fmt.Sprintf("%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	group := groupIn(string(text))
	if !slices.Contains(strings.Split(group, "/"), "..") {
		return group, nil
	}
	// We are in a cgroup namespace of our own, as pods are on v2, and the kernel
	// shows how to get there from our group.
	err = mount.Thread(func() error {
		if err := enterGroupsOfShim(proc, pid); err != nil {
			return err
		}
		text, err = readAt(proc, fmt.Sprintf("%d/cgroup", pid))
		return err
	})
	return groupIn(string(text)), err
}

func groupIn(text string) string {
	v2 := ""
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) < 3:
		case fields[1] == "freezer":
			return "freezer" + fields[2]
		case fields[1] == "":
			v2 = strings.TrimPrefix(fields[2], "/")
		}
	}
	return v2
}

// enterGroupsOfShim has this thread see cgroups as a process's parent does: the
// container's shim, which is the host's. The host's first process would be
// another one to ask, but not everywhere may it be looked at.
func enterGroupsOfShim(proc *os.File, pid int) error {
	stat, err := readAt(proc, fmt.Sprintf("%d/stat", pid))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 {
		return fmt.Errorf("process %d has no parent", pid)
	}
	fd, err := unix.Openat(int(proc.Fd()), fields[1]+"/ns/cgroup", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the cgroup namespace of shim %s: %w", fields[1], err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter the cgroup namespace of shim %s: %w", fields[1], err)
	}
	return nil
}

func readAt(dir *os.File, name string) ([]byte, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path.Join(dir.Name(), name), Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(f)
	return b.Bytes(), err
}

func numbers(texts []string) []int {
	out := make([]int, 0, len(texts))
	for _, text := range texts {
		if n, err := strconv.Atoi(text); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// listNumbers reads a directory of numbers, as /proc has; none when it is gone.
// There may be a million, so their names are not kept.
func listNumbers(dir *os.File, name string) (all []int) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	for {
		names, err := f.Readdirnames(1024)
		all = append(all, numbers(names)...)
		if err != nil {
			return all
		}
	}
}
