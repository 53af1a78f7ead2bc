package swap_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// roots gives a container root after root, without asking containerd each time.
type roots struct {
	c     *runtimetest.Container
	ready map[string]swap.Request
	dir   string
	made  int
}

func newRoots(t *testing.T, c *runtimetest.Container) *roots {
	r := &roots{c: c, ready: map[string]swap.Request{}}
	for name, image := range v {
		req := request(t, c, image)
		req.StopLimit = 10 * time.Second // a busy machine is none of this test's business
		r.ready[name] = req
	}
	// Beside the snapshots: the directory of a test may itself be an overlay.
	var err error
	if r.dir, err = os.MkdirTemp(node.Dir, "roots"); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *roots) request(t *testing.T, version string) swap.Request {
	t.Helper()
	req := r.ready[version]
	system := *req.Root.Filesystem
	system.Options = nil
	for _, option := range req.Root.Filesystem.Options {
		if name, _, _ := strings.Cut(option, "="); name == "upperdir" || name == "workdir" {
			r.made++
			dir := filepath.Join(r.dir, fmt.Sprint(r.made))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			option = name + "=" + dir
		}
		system.Options = append(system.Options, option)
	}
	req.Root.Filesystem = &system
	return req
}

// Whenever an agent is killed, the container is wholly on one image, its program
// notices nothing, and the next look puts its working directory right.
func TestKilledAtAnyMomentNobodyNotices(t *testing.T) {
	const uniform, stopped, each = 110, 110, 6
	t.Run("workers", func(t *testing.T) {
		for worker := range 2 {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				k := newKiller(t, uint64(worker))
				for range uniform / 2 {
					k.kill(t, Death{After: k.between(2 * k.typical.Total)}) // a new process is slower
				}
				for range stopped / 2 {
					k.kill(t, Death{KillAt: "park", After: k.between(2 * k.typical.StopTime)})
				}
				for range each / 2 {
					for _, moment := range append(swap.Moments, swap.Steps...) {
						how := Death{KillAt: moment}
						if strings.HasPrefix(moment, "chdir/") { // of one of the threads
							how.Skip = k.IntN(10)
						}
						k.kill(t, how)
					}
				}
				t.Logf("%d kills, %d of them before the pivot and %d too late; %d directories put right by a look, %d by the next swap",
					k.kills, k.early, k.late, k.repaired, k.swapped)
			})
		}
	})
}

type killer struct {
	*roots
	*rand.Rand
	conn                                  *runtimetest.Conn
	version                               string
	typical                               swap.Result
	kills, early, late, repaired, swapped int
}

func newKiller(t *testing.T, seed uint64) *killer {
	c := node.Run(t, runtimetest.Spec{Image: v["v1"].Ref})
	k := &killer{roots: newRoots(t, c), Rand: rand.New(rand.NewPCG(7, seed)), conn: c.Dial(t), version: "v1"}
	k.conn.Must(t, "chdir /sub/dir")
	waits(t, c, "/sub/dir")
	for range 5 { // the shortest says most of how long a swap takes
		k.version = k.other()
		result := k.swap(t, k.version)
		if k.typical.Total == 0 || result.Total < k.typical.Total {
			k.typical = result
		}
	}
	return k
}

func (k *killer) between(longest time.Duration) time.Duration {
	return 1 + time.Duration(k.Int64N(int64(longest)))
}

// anew is how long it takes until no wait of the program's is one that a stop has
// interrupted before: of those the kernel alone knows what they were, and they end
// early if an agent dies while it leads their thread (docs/swap.md).
const anew = 45 * time.Millisecond // waits last 20

// kill kills one swap, looks, and mends it one way or the other.
func (k *killer) kill(t *testing.T, how Death) {
	t.Helper()
	time.Sleep(runtimetest.Limit(anew))
	to := k.other()
	if finished := kill(t, k.request(t, to), how); finished {
		k.late++
	}
	k.kills++
	what := fmt.Sprintf("kill %d, %+v", k.kills, how)
	is := k.look(t, what)
	if is == k.version {
		k.early++
	}
	k.version = is
	if k.kills%2 == 0 {
		result := k.swap(t, k.other())
		k.version = k.other()
		k.swapped += result.Moved
		if len(result.Stragglers) > 0 {
			repair(t, k.ready["v1"])
		}
	} else {
		k.repaired += repair(t, k.ready["v1"])
	}
	if is := k.look(t, what); is != k.version {
		t.Fatalf("%s: put right, it is on %s, not %s", what, is, k.version)
	}
	if got := k.conn.Must(t, "read version"); got != k.version {
		t.Fatalf("%s: put right, the working directory reads %s on %s", what, got, k.version)
	}
	if left := look(t, k.c); len(left.Stragglers) > 0 || left.Parked {
		t.Fatalf("%s: put right, left is %+v", what, left)
	}
	if k.kills%8 == 0 {
		awaitAll(t, k.c, k.version)
	}
}

// swap swaps to its end. A process that the other worker is just starting still
// has our lock, for as long as it takes to become another program.
func (k *killer) swap(t *testing.T, version string) swap.Result {
	t.Helper()
	req := k.request(t, version)
	for attempt := 1; ; attempt++ {
		result, err := swap.Do(t.Context(), req)
		if err == nil {
			return result
		}
		if !errors.Is(err, swap.ErrBusy) || attempt == 100 {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// repair looks as often as an agent would: a busy machine may need more time
// than a stop may take.
func repair(t *testing.T, req swap.Request) (moved int) {
	t.Helper()
	for attempt := 1; ; attempt++ {
		result, err := swap.Repair(t.Context(), req)
		moved += result.Moved
		if err == nil && len(result.Stragglers) == 0 {
			return moved
		}
		if attempt == 100 {
			t.Fatalf("looked %d times, left are %v: %v", attempt, result.Stragglers, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (k *killer) other() string {
	if k.version == "v2" {
		return "v3"
	}
	return "v2"
}

// look is the one version that everybody sees: the first process, who enters the
// container as exec does, and who asks over the old connection.
func (k *killer) look(t *testing.T, what string) string {
	t.Helper()
	first, err := os.ReadFile(k.c.Root("/version"))
	if err != nil {
		t.Fatalf("%s: the container is gone: %v", what, err)
	}
	var second []byte
	if err := mount.Thread(func() error {
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", k.c.PID))
		if err != nil {
			return err
		}
		defer namespace.Close()
		if err := mount.Apart(); err != nil {
			return err
		}
		if err := mount.Enter(namespace); err != nil {
			return err
		}
		second, err = os.ReadFile("/version")
		return err
	}); err != nil {
		t.Fatalf("%s: enter the container: %v", what, err)
	}
	third := k.conn.Must(t, "read /version")
	if string(first) != string(second) || string(first) != third {
		t.Fatalf("%s: the first process sees %s, exec %s, the program %s", what, first, second, third)
	}
	for _, s := range table(t, k.c) {
		if trouble := word(s.Trouble[:]); trouble != "" {
			t.Fatalf("%s: %s: %s", what, word(s.Kind[:]), trouble)
		}
	}
	return third
}
