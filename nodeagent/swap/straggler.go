package swap

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/internal/plain"
	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// Straggler is a process that is not wholly on the container's root.
type Straggler struct {
	PID    int    // on the host
	Inside int    // its PID in the container
	Name   string // as the kernel has it, at most 15 bytes
	Why    string // it stayed behind, as the end of a sentence
}

func (s Straggler) String() string { return fmt.Sprintf("%s (%d) %s", s.Name, s.Inside, s.Why) }

// named is how many stragglers are named before the rest is only counted: the
// text is stored with every pod.
const named = 5

// Stragglers is what is said of them: the same text for the same ones.
func Stragglers(all []Straggler) string {
	all = slices.SortedFunc(slices.Values(all), func(a, b Straggler) int { return cmp.Compare(a.Inside, b.Inside) })
	var words []string
	for _, s := range all[:min(len(all), named)] {
		words = append(words, s.String())
	}
	if rest := len(all) - named; rest > 0 {
		words = append(words, fmt.Sprintf("and %d more", rest))
	}
	return strings.Join(words, "; ")
}

func newStraggler(proc *os.File, pid int, why string) Straggler {
	status, _ := readAt(proc, fmt.Sprintf("%d/status", pid))
	s := Straggler{PID: pid, Inside: pid, Name: shorten(statusField(status, "Name")), Why: why}
	if own := numbers(strings.Fields(statusField(status, "NSpid"))); len(own) > 0 {
		s.Inside = own[len(own)-1]
	}
	return s
}

// statusField is a line of /proc/PID/status without its name.
func statusField(status []byte, name string) string {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// apart says why no pivot moves a task ("12", or "12/task/13"), "" if one does:
// only who has the container's mounts and its root is moved.
func apart(proc *os.File, first int, task string) string {
	own, err := readLink(proc, task+"/ns/mnt")
	ours, err2 := readLink(proc, fmt.Sprintf("%d/ns/mnt", first))
	if err == nil && err2 == nil && own != ours {
		return "has mounts of its own"
	}
	root, err := mount.PlaceOf(int(proc.Fd()), task+"/root")
	place, err2 := mount.PlaceOf(int(proc.Fd()), fmt.Sprintf("%d/root", first))
	if err == nil && err2 == nil && root != place {
		return "is chrooted"
	}
	return ""
}

// seeApart notes who will stay behind, whatever we do.
func (s *swap) seeApart() {
	for _, pid := range s.tracer.processes() {
		if why := apart(s.proc, s.PID, fmt.Sprint(pid)); why != "" {
			s.result.Stragglers = append(s.result.Stragglers, newStraggler(s.proc, pid, why))
		}
	}
}

func (s *swap) isStraggler(pid int) bool {
	return slices.ContainsFunc(s.result.Stragglers, func(known Straggler) bool { return known.PID == pid })
}

// parked tells whether a path lies on what a swap has parked.
func parked(path string) bool { return path == park || strings.HasPrefix(path, park+"/") }

// holds tells whether a mount is one of a container's, on its root as it is now.
func holds(table []mount.Entry, id uint64) bool {
	return slices.ContainsFunc(table, func(e mount.Entry) bool { return e.ID == id && !parked(e.Path) })
}

// shorten keeps what programs make up from filling what is stored with the pod,
// and from acting on who reads it.
func shorten(text string) string { return plain.Text(text, 80) }
