package swap

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// openFiles are the files of the old root that the container has open to write
// to. It goes on writing to those, and not to their copies: whoever reads a log
// should know. Best effort: what cannot be looked at is left out.
func (s *swap) openFiles() []string {
	read, err := processes(s.proc, s.cgroups, s.PID)
	if err != nil {
		return nil
	}
	pids, err := read()
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	left := maxFiles
	for _, pid := range pids {
		files := listNumbers(s.proc, fmt.Sprintf("%d/fd", pid))
		if left -= len(files); left < 0 {
			break
		}
		for _, fd := range files {
			name := s.openFile(pid, fd)
			if name != "" && !slices.ContainsFunc(s.layer.apart, func(p string) bool { return name == p || strings.HasPrefix(name, p+"/") }) {
				names[shorten(name)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// openFile is the path of one that is on the old root, "" for any other.
func (s *swap) openFile(pid, fd int) string {
	link := fmt.Sprintf("%d/fd/%d", pid, fd)
	if id, _, err := mount.ID(int(s.proc.Fd()), link, 0); err != nil || id != s.root.ID {
		return ""
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(s.proc.Fd()), link, &st, 0); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink == 0 {
		return ""
	}
	info, err := readAt(s.proc, fmt.Sprintf("%d/fdinfo/%d", pid, fd))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(info), "flags:")
	line, _, _ := strings.Cut(rest, "\n")
	flags, err := strconv.ParseUint(strings.TrimSpace(line), 8, 64)
	if err != nil || flags&unix.O_ACCMODE == unix.O_RDONLY {
		return ""
	}
	name, err := readLink(s.proc, link)
	if err != nil {
		return ""
	}
	return name
}
