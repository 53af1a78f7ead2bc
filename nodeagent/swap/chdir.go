package swap

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// Moments names what At is told within the step chdir, for each directory that
// is moved: an agent that is killed there must not be noticed by the program.
var Moments = []string{"chdir/written", "chdir/aimed", "chdir/masked", "chdir/entered", "chdir/called", "chdir/left"}

// readiness is how well a stopped thread lends itself to a call of ours.
type readiness int

const (
	inCall   readiness = iota // in a system call that begins again as it was
	inTimed                   // in one that knows how long it has waited
	running                   // in the program
	unusable                  // must not be touched
)

// mover moves the working directories that the pivot left behind: those below
// the old root, and on mounts that came along as copies.
type mover struct {
	*swap
	table []mount.Entry // of the container, on its root as it is now
	end   time.Time
}

// chdir has one thread of every process that is not in the new tree go there,
// while nothing runs. Who cannot is named in the result, and is no failure.
func (s *swap) chdir() error {
	m := &mover{swap: s, end: time.Now().Add(s.StopLimit)}
	stale, err := m.anyStale()
	if err != nil {
		return fmt.Errorf("find the working directories that stayed behind: %w", err)
	}
	if !stale {
		return nil
	}
	for _, pid := range s.tracer.processes() {
		m.move(pid)
	}
	return nil
}

// anyStale spares most swaps the look at all mounts: everybody is on the root.
func (m *mover) anyStale() (stale bool, err error) {
	root, _, err := mount.ID(int(m.proc.Fd()), fmt.Sprintf("%d/root", m.PID), 0)
	if err != nil {
		return false, err
	}
	for _, th := range m.tracer.threads {
		at, err := mount.PlaceOf(int(m.proc.Fd()), th.task()+"/cwd")
		if err == nil && at.Mount != root {
			_, m.table, err = mount.Root(m.proc, m.PID)
			return true, err
		}
	}
	return false, nil
}

// move moves one process, with each of its threads that has a directory of its
// own. The threads that lend themselves best are asked first.
func (m *mover) move(pid int) {
	threads := m.stale(m.tracer.of(pid))
	if len(threads) == 0 || m.isStraggler(pid) {
		return
	}
	var last refused
	for ready := inCall; ready < unusable && len(threads) > 0; ready++ {
		if no := m.moveThose(threads, ready); no.thread != nil {
			last = no
		}
		threads = m.stale(threads)
	}
	if len(threads) > 0 {
		m.result.Stragglers = append(m.result.Stragglers, newStraggler(m.proc, pid, m.say(last)))
	}
}

// refused is a thread that could not be moved, and why.
type refused struct {
	thread *thread
	apart  string // it lives in a root of its own
	why    string
}

// moveThose moves those threads that are ready in one way. Most share one
// directory: where so many in a row do not help, another thousand will not.
func (m *mover) moveThose(threads []*thread, ready readiness) (last refused) {
	const vain = 32
	for row, i := 0, 0; i < len(threads) && row < vain; i++ {
		if !m.isStale(threads[i]) { // moved with another one
			continue
		}
		can, no := m.canMove(threads[i])
		if can == ready {
			no.why = m.moveThread(threads[i])
		}
		row++
		if can == ready && no.why == "" {
			row = 0
		}
		if no.apart != "" || no.why != "" {
			last = no
			last.thread = threads[i]
		}
	}
	return last
}

// say is why a process stayed, as the end of a sentence.
func (m *mover) say(no refused) string {
	switch {
	case no.apart != "":
		return no.apart
	case no.thread == nil:
		return "has its working directory on an earlier root"
	}
	return fmt.Sprintf("has its working directory %s on an earlier root: %s", shorten(m.target(no.thread)), no.why)
}

func (m *mover) stale(threads []*thread) []*thread {
	return slices.DeleteFunc(threads, func(th *thread) bool { return !m.isStale(th) })
}

func (m *mover) isStale(th *thread) bool {
	return !th.gone && isStale(m.proc, m.table, th.task())
}

// isStale tells whether a task's working directory is not in the container's
// tree as it is now.
func isStale(proc *os.File, table []mount.Entry, task string) bool {
	at, err := mount.PlaceOf(int(proc.Fd()), task+"/cwd")
	return err == nil && !holds(table, at.Mount)
}

// canMove tells whether a thread can be asked, or why not.
func (m *mover) canMove(th *thread) (ready readiness, no refused) {
	no.apart = apart(m.proc, m.PID, th.task())
	switch {
	case no.apart != "":
		return unusable, no
	case !th.stopped:
		no.why = "it waits where it cannot be disturbed"
	case th.signal != 0:
		no.why = "a signal is on its way to it"
	case time.Now().After(m.end):
		no.why = "there was no time left"
	default:
		no.why = refusal(m.proc, th.task(), m.KnownFilters)
	}
	if no.why != "" {
		return unusable, no
	}
	ready, no.why = examine(th)
	return ready, no
}

// moveThread returns why it did not work.
func (m *mover) moveThread(th *thread) string {
	g, err := m.enter(th)
	if err != nil {
		return err.Error()
	}
	err = g.chdirNear(m.target(th))
	if err := errors.Join(err, g.leave()); err != nil {
		return err.Error()
	}
	m.result.Moved++
	return ""
}

// chdirNear goes to a directory or, where the new image has none, to the
// nearest one above it.
func (g *guest) chdirNear(to string) error {
	for ; ; to = path.Dir(to) {
		if parked(to) {
			continue // there lies the old root
		}
		err := g.chdir(to)
		if to == "/" || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return err
		}
	}
}

// target is the path in the new tree of a thread's working directory.
func (m *mover) target(th *thread) string {
	link := th.task() + "/cwd"
	was, _ := readLink(m.proc, link)
	was = strings.TrimPrefix(was, park)
	at, err := mount.PlaceOf(int(m.proc.Fd()), link)
	if err != nil || !path.IsAbs(was) {
		return "/"
	}
	if at.Deleted {
		return strings.TrimSuffix(was, " (deleted)")
	}
	return m.find(was, at)
}

// find is where the very same directory is in the new tree: of a mount that is
// no longer attached, the kernel shows paths from its own root on, and a mount
// may have come to another place. One that is only in the old root keeps its
// path.
func (m *mover) find(was string, at mount.Place) string {
	if leads(was, at.File) {
		return was
	}
	for _, e := range m.table {
		if root, err := mount.PlaceOf(unix.AT_FDCWD, e.Path); err != nil || parked(e.Path) || e.Path == "/" ||
			root.File.Major != at.File.Major || root.File.Minor != at.File.Minor {
			continue
		}
		for below := was; ; below = below[1+strings.IndexByte(below[1:], '/'):] {
			if to := path.Join(e.Path, below); leads(to, at.File) {
				return to
			}
			if !strings.Contains(below[1:], "/") {
				break
			}
		}
		if leads(e.Path, at.File) {
			return e.Path
		}
	}
	return was
}

func leads(to string, file mount.File) bool {
	place, err := mount.PlaceOf(unix.AT_FDCWD, to)
	return err == nil && place.File == file
}

// refusal says why a task must not be made to call anything, "" if it may: what
// would end it is never tried.
func refusal(proc *os.File, task string, knownFilters int) string {
	status, err := readAt(proc, task+"/status")
	if err != nil {
		return "it has ended"
	}
	filters := numbers([]string{statusField(status, "Seccomp_filters")})
	mode := statusField(status, "Seccomp")
	switch {
	case strings.Contains(" "+statusField(status, "x86_Thread_features")+" ", " shstk "):
		return "it has a shadow stack"
	case mode == "" || mode == "0":
	case mode != "2" || len(filters) == 0 || filters[0] > knownFilters:
		return "its seccomp filters may forbid it"
	}
	return ""
}

// processes are those of the threads, in order.
func (t *tracer) processes() []int {
	pids := map[int]bool{}
	for _, th := range t.threads {
		pids[th.pid] = true
	}
	return slices.Sorted(maps.Keys(pids))
}

// of are the threads of a process, its first one first.
func (t *tracer) of(pid int) (threads []*thread) {
	for _, th := range t.threads {
		if th.pid == pid {
			threads = append(threads, th)
		}
	}
	slices.SortFunc(threads, func(a, b *thread) int { return cmp.Compare(a.id, b.id) })
	return threads
}

func (th *thread) task() string { return fmt.Sprintf("%d/task/%d", th.pid, th.id) }
