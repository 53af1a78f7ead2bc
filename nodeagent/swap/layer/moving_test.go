package layer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOnlyWhatChangedIsDoneAgain(t *testing.T) {
	w := newWorld(t, "", map[string]string{"conf": "old", "gone": "old", "mode": "old", "d/x": "old", "touched": "old"},
		map[string]string{"conf": "new", "gone": "new", "mode": "new", "d/x": "new", "d/y": "new", "touched": "new"})
	w.sh(`echo -n one >conf; echo -n one >stays; echo -n one >temp; mkdir -p spool/sub; echo -n one >spool/sub/job; chmod 600 mode; echo one >h1; chmod 600 touched`)
	c := w.copy(plenty)
	must(t, c.Run(t.Context()))
	kept := stat(t, w.next+"/stays").Ino
	w.sh(`echo -n two >conf; rm temp gone; rm -r spool d; mkdir -m 700 d; echo -n two >d/z; chmod 644 mode; chown 5 mode; ln h1 h2; echo -n two >late; chmod 644 touched`)
	must(t, c.Run(t.Context()))
	w.sh(`echo -n three >conf; rm late; ln -s h1 late; rm d/z; mkdir d/z`)
	must(t, c.Finish(t.Context()))
	if d := differ(tree(t, w.next), map[string]string{"conf": `100644 0:0 "three"`, "stays": `100644 0:0 "one"`, "mode": `100644 5:0 "new"`, "touched": `100644 0:0 "new"`,
		"d": `40700 0:0`, "d/z": `40755 0:0`, "h1": `100644 0:0 "one\n"`, "h2": `100644 0:0 "one\n"`, "late": `120777 0:0 → h1`}); d != "" {
		t.Error(d)
	}
	if now := stat(t, w.next+"/stays").Ino; now != kept {
		t.Errorf("an unchanged file was copied again: inode %d, then %d", kept, now)
	}
	if links := stat(t, w.next+"/h1").Nlink; links != 2 {
		t.Errorf("the file with two names has %d", links)
	}
}

// What the new image had is gone from the new root, and cannot come back.
func TestTakingBackWhatDisplacedTheNewImagesIsRefused(t *testing.T) {
	for name, script := range map[string][2]string{
		"a file that only the new image has": {`echo mine >fresh`, `rm fresh`},
		"the old content again":              {`echo mine >conf`, `echo -n old >conf`},
		"deleted and back":                   {`rm conf`, `echo -n old >conf`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "", map[string]string{"conf": "old"}, map[string]string{"conf": "new", "fresh": "new"})
			w.sh(script[0])
			c := w.copy(plenty)
			must(t, c.Run(t.Context()))
			w.sh(script[1])
			if err := c.Finish(t.Context()); !errors.Is(err, ErrMoved) {
				t.Fatalf("got %v", err)
			}
			w.anew()
			w.carried()
			w.has(map[string]string{"conf": `100644 0:0 "new"`, "fresh": `100644 0:0 "new"`})
		})
	}
}

// What is mounted by then would be taken off by the removal of what holds it.
func TestALastRemovalUnderAMountIsRefused(t *testing.T) {
	w := newWorld(t, "", map[string]string{"d/m/x": "old"}, map[string]string{"d/m/x": "new"})
	c := w.copy(plenty, "/d/m")
	must(t, c.Run(t.Context()))
	w.sh(`rm -r d`)
	if err := c.Finish(t.Context()); !errors.Is(err, ErrMoved) || !strings.Contains(err.Error(), "/d/m in it is mounted") {
		t.Errorf("got %v", err)
	}
}

// A page that is dirty already is written to without a new time of change.
func TestWritesToMappedPagesAreSeen(t *testing.T) {
	w := newWorld(t, "", map[string]string{"x": ""}, map[string]string{"x": ""})
	w.sh(`truncate -s 64K mapped`)
	f, err := os.OpenFile(w.in("mapped"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	pages, err := unix.Mmap(int(f.Fd()), 0, 64<<10, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(pages)
	c := w.copy(plenty)
	for i := range 20 {
		pages[4096] = byte(i)
		must(t, c.Run(t.Context()))
		must(t, c.Run(t.Context())) // long enough after the last write not to be read again for that
		pages[4096], pages[0] = byte(100+i), byte(100+i)
		must(t, c.Finish(t.Context()))
		got, err := os.ReadFile(w.next + "/mapped")
		must(t, err)
		if got[4096] != byte(100+i) || got[0] != byte(100+i) {
			t.Fatalf("time %d: the last writes are %d and %d in the copy", i, got[0], got[4096])
		}
	}
}

// A writer that never pauses while it is copied, and is stopped for the end.
func TestAWriterThatNeverPauses(t *testing.T) {
	w := newWorld(t, "", map[string]string{"base/x": "old"}, map[string]string{"x": "new"})
	pause, resume, end := make(chan bool), make(chan bool), make(chan bool)
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-end:
				return
			case pause <- true:
				<-resume
			default:
				scribble(w.old, n)
			}
		}
	})
	defer writer.Wait()
	defer close(end)
	for range 30 {
		w.anew()
		c := w.copy(plenty)
		must(t, c.Run(t.Context()))
		must(t, c.Run(t.Context()))
		<-pause
		must(t, c.Finish(t.Context()))
		want := tree(t, w.old)
		delete(want, "base/x")
		want["x"] = `100644 0:0 "new"`
		if want["base"] == "40755 0:0" && !strings.Contains(fmt.Sprint(want), "base/") {
			delete(want, "base")
		}
		if d := differ(tree(t, w.next), want); d != "" {
			t.Fatal(d)
		}
		resume <- true
	}
}

// scribble does the n-th of a repeating row of changes, of files and directories
// that come, grow, move and go.
func scribble(root string, n int) {
	name := fmt.Sprintf("%s/w%d", root, n%7)
	switch n % 11 {
	case 0, 1, 2:
		os.WriteFile(name, []byte(fmt.Sprint(n)), 0o644)
	case 3, 4:
		if f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			fmt.Fprint(f, n)
			f.Close()
		}
	case 5:
		os.Rename(name, fmt.Sprintf("%s/w%d", root, (n+3)%7))
	case 6:
		os.RemoveAll(name)
	case 7:
		os.MkdirAll(name+"/sub", 0o755)
	case 8:
		os.WriteFile(name+"/sub/file", []byte(fmt.Sprint(n)), 0o600)
	case 9:
		os.Symlink(fmt.Sprint(n), name)
	case 10:
		os.WriteFile(root+"/base/mine", []byte(fmt.Sprint(n)), 0o644)
	}
}

// A container that swaps what is looked at for symlinks, pipes and devices.
func TestNothingOutsideIsTouched(t *testing.T) {
	outside := t.TempDir()
	must(t, os.MkdirAll(outside+"/sub", 0o755))
	must(t, os.WriteFile(outside+"/sub/file", []byte("secret"), 0o600))
	before := tree(t, outside)
	w := newWorld(t, "", map[string]string{"d/sub/file": "old"}, map[string]string{"d/sub/file": "new"})
	w.sh(`mkdir -p trap/sub; echo -n mine >trap/sub/file; mkfifo pipe; ln -s ` + outside + ` link; mkdir own; cp -a trap own`)
	end := make(chan bool)
	var hostile sync.WaitGroup
	for _, pair := range [][2]string{{"trap", "link"}, {"trap/sub/file", "pipe"}, {"own/trap", "link"}, {"own/trap/sub/file", "pipe"}} {
		hostile.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					unix.Renameat2(unix.AT_FDCWD, w.in(pair[0]), unix.AT_FDCWD, w.in(pair[1]), unix.RENAME_EXCHANGE)
				}
			}
		})
	}
	defer hostile.Wait()
	defer close(end)
	c, wins := w.copy(plenty), 0
	for range 150 {
		err := c.Run(t.Context())
		for name, line := range tree(t, w.next) {
			if strings.Contains(line, "secret") {
				t.Fatalf("%s is %s", name, line)
			}
		}
		if err == nil {
			wins++
			continue
		}
		w.anew() // it cannot be followed now and then
		c = w.copy(plenty)
	}
	if d := differ(tree(t, outside), before); d != "" {
		t.Errorf("outside: %s", d)
	}
	if wins == 0 {
		t.Error("not one pass came to its end")
	}
	t.Logf("%d of 150 passes came to their end", wins)
}

func TestAFileThatGrowsPastTheLimit(t *testing.T) {
	w := newWorld(t, "", map[string]string{"x": ""}, map[string]string{"x": ""})
	w.sh(`echo small >log`)
	c := w.copy(Limit{Bytes: 1 << 20, Entries: 10})
	must(t, c.Run(t.Context()))
	found, err := c.scan(t.Context())
	must(t, err)
	w.sh(`dd if=/dev/zero of=log bs=1M count=2 2>/dev/null`) // after it was counted
	c.done = map[string]*record{}
	var failed error
	for _, it := range found.items {
		failed = errors.Join(failed, c.redo(context.Background(), it))
	}
	if !errors.Is(failed, ErrTooLarge) {
		t.Errorf("got %v", failed)
	}
}

func TestADirectoryThatGoesWhileItIsRead(t *testing.T) {
	w := newWorld(t, "", nil, nil)
	for _, of := range []string{w.old, w.at("old", "upper")} {
		write(t, w.old, map[string]string{"going/x": "new"})
		root, err := os.Open(of)
		must(t, err)
		defer root.Close()
		dir, err := beneath(root, "going", unix.O_RDONLY|unix.O_DIRECTORY)
		must(t, err)
		defer dir.Close()
		must(t, os.RemoveAll(w.old+"/going"))
		if names, err := w.copy(plenty).list(&found{}, dir); err != nil || len(names) > 0 {
			t.Errorf("of %s it holds %q, %v", of, names, err)
		}
	}
}
