package swap

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// View is what the node shows of a container: the root that its first process
// is on, and who is not on it yet.
type View struct {
	// UpperDir of the overlay that is the root; tells which snapshot it is.
	UpperDir string
	// Device is the root's number as a file system, as long as it is one.
	Device uint64
	// UpperDirs of all overlays that the container has mounted: carried paths
	// are still parts of the root they were written on.
	UpperDirs []string
	// OldProcesses still execute a file of another root.
	OldProcesses int
	// StaleDirs counts the Stragglers: their working directory, or their own
	// root, is elsewhere.
	StaleDirs  int
	Stragglers []Straggler
	// Parked: an earlier root is still mounted where a swap that was killed has
	// left it.
	Parked bool
}

// Look reads a container's view off /proc.
func Look(cgroupDir string, pid int) (View, error) {
	h, err := newHost(cgroupDir, pid)
	if err != nil {
		return View{}, err
	}
	defer h.close()
	v := View{UpperDir: h.root.SuperOption("upperdir"), Device: h.device}
	for _, e := range h.table {
		v.Parked = v.Parked || parked(e.Path)
		if upper := e.SuperOption("upperdir"); upper != "" && !slices.Contains(v.UpperDirs, upper) {
			v.UpperDirs = append(v.UpperDirs, upper)
		}
	}
	for _, p := range h.pids {
		v.count(h, p)
	}
	return v, nil
}

// count looks at one process; one that ends meanwhile does not count. A program
// that is back on the root that it was started from runs on an earlier mount of
// it: its file is none of another root.
func (v *View) count(h *host, pid int) {
	if h.elsewhere(pid, "exe") && !h.isOn(h.device, pid, "exe") {
		v.OldProcesses++
	}
	own, _, err := mount.ID(int(h.proc.Fd()), fmt.Sprintf("%d/root", pid), 0)
	task := staleTask(h.proc, h.table, pid)
	if task == "" && (err != nil || own == h.root.ID) {
		return
	}
	why := apart(h.proc, h.first, cmp.Or(task, fmt.Sprint(pid)))
	if why == "" {
		why = "has its working directory on an earlier root"
	}
	v.Stragglers = append(v.Stragglers, newStraggler(h.proc, pid, why))
	v.StaleDirs = len(v.Stragglers)
}

// Held are the devices of earlier roots that processes of the container still
// have something of, and that must then not be removed: a program, a working
// directory, or an open directory. Open files live without their root. Own, the
// container's own root, is not among them: that one is never removed, and a
// program that never executes itself anew has it forever.
func Held(cgroupDir string, pid int, own Source) (devices []uint64, err error) {
	h, err := newHost(cgroupDir, pid)
	if err != nil {
		return nil, err
	}
	defer h.close()
	never, err := mount.Device(int(h.proc.Fd()), fmt.Sprintf("%d/root%s", own.PID, own.Path))
	if err != nil {
		return nil, err
	}
	left := maxFiles
	for _, p := range h.pids {
		files := listNumbers(h.proc, fmt.Sprintf("%d/fd", p))
		if left -= len(files); left < 0 {
			return nil, fmt.Errorf("look at who is on earlier roots: its processes have more than %d open files", maxFiles)
		}
		for _, link := range append([]string{"exe", "cwd"}, h.directories(p, files)...) {
			device, err := mount.Device(int(h.proc.Fd()), fmt.Sprintf("%d/%s", p, link))
			if err == nil && device != never && h.elsewhere(p, link) && !slices.Contains(devices, device) {
				devices = append(devices, device)
			}
		}
	}
	return devices, nil
}

func (h *host) isOn(device uint64, pid int, link string) bool {
	on, err := mount.Device(int(h.proc.Fd()), fmt.Sprintf("%d/%s", pid, link))
	return err == nil && on == device
}

// host is what /proc shows of one container.
type host struct {
	proc, cgroups *os.File
	first         int // process
	root          mount.Entry
	device        uint64 // of the root
	table         []mount.Entry
	pids          []int
}

func newHost(cgroupDir string, pid int) (h *host, err error) {
	h = &host{first: pid}
	if h.proc, h.cgroups, err = openHost(cgroupDir); err != nil {
		return nil, err
	}
	if err := h.read(pid); err != nil {
		h.close()
		return nil, fmt.Errorf("look at the container of process %d: %w", pid, err)
	}
	return h, nil
}

func (h *host) read(pid int) (err error) {
	if err := patiently(func() (err error) {
		if h.root, h.table, err = mount.Root(h.proc, pid); err == nil {
			h.device, err = mount.Device(int(h.proc.Fd()), fmt.Sprintf("%d/root", pid))
		}
		return err
	}); err != nil {
		return err
	}
	read, err := processes(h.proc, h.cgroups, pid)
	if err != nil {
		return err
	}
	h.pids, err = read()
	return err
}

func (h *host) close() {
	h.proc.Close()
	h.cgroups.Close()
}

// elsewhere tells whether what a link of a process leads to is on no mount that
// the container has.
func (h *host) elsewhere(pid int, link string) bool {
	id, _, err := mount.ID(int(h.proc.Fd()), fmt.Sprintf("%d/%s", pid, link), 0)
	return err == nil && !holds(h.table, id)
}

// maxFiles is how many open files of one container are looked at.
const maxFiles = 100_000

// directories are the links of a process's open directories.
func (h *host) directories(pid int, files []int) (links []string) {
	for _, fd := range files {
		link := fmt.Sprintf("fd/%d", fd)
		if _, isDir, err := mount.ID(int(h.proc.Fd()), fmt.Sprintf("%d/%s", pid, link), 0); err == nil && isDir {
			links = append(links, link)
		}
	}
	return links
}
