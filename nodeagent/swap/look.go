package swap

import (
	"fmt"
	"os"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// View is what the node shows of a container: the root that its first process
// is on, and who is not on it yet.
type View struct {
	// UpperDir of the overlay that is the root; tells which snapshot it is.
	UpperDir string
	// Processes of the container.
	Processes int
	// OldProcesses still execute a file of another root.
	OldProcesses int
	// StaleDirs have their working directory, or their own root, elsewhere.
	StaleDirs int
}

// Look reads a container's view off /proc.
func Look(cgroupDir string, pid int) (View, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return View{}, err
	}
	defer proc.Close()
	cgroups, err := os.Open(cgroupDir)
	if err != nil {
		return View{}, err
	}
	defer cgroups.Close()
	root, table, err := mount.Root(proc, pid)
	if err != nil {
		return View{}, fmt.Errorf("look at the container's root: %w", err)
	}
	read, err := containerProcesses(proc, cgroups, pid)
	if err != nil {
		return View{}, err
	}
	pids, err := read()
	if err != nil {
		return View{}, err
	}
	reachable := map[uint64]bool{}
	for _, e := range table {
		reachable[e.ID] = true
	}
	v := View{UpperDir: root.SuperOption("upperdir"), Processes: len(pids)}
	for _, p := range pids {
		v.count(proc, p, root.ID, reachable)
	}
	return v, nil
}

// Processes are the PIDs of a container, by its first process.
func Processes(cgroupDir string, pid int) ([]int, error) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	cgroups, err := os.Open(cgroupDir)
	if err != nil {
		return nil, err
	}
	defer cgroups.Close()
	read, err := containerProcesses(proc, cgroups, pid)
	if err != nil {
		return nil, err
	}
	return read()
}

// count looks at one process; one that ends meanwhile does not count.
func (v *View) count(proc *os.File, pid int, root uint64, reachable map[uint64]bool) {
	on := func(link string) (uint64, bool) {
		id, _, err := mount.ID(int(proc.Fd()), fmt.Sprintf("%d/%s", pid, link), 0)
		return id, err == nil
	}
	if id, ok := on("exe"); ok && !reachable[id] {
		v.OldProcesses++
	}
	cwd, cwdOK := on("cwd")
	own, rootOK := on("root")
	if cwdOK && !reachable[cwd] || rootOK && own != root {
		v.StaleDirs++
	}
}
