package layer

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// in is a path of the container's root.
func (w *world) in(name string) string { return w.old + "/" + name }

func (w *world) sh(script string) {
	w.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = w.old
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("%s: %v: %s", script, err, out)
	}
}

func TestWhatTheContainerWroteWins(t *testing.T) {
	base := map[string]string{"conf": "old", "same": "old", "gone": "old", "dir/a": "old", "dir/b": "old", "rm/x": "old", "again/x": "old", "logs/l": "old", "link": "→ conf", "null": "null", "zero": "null"}
	image := map[string]string{"conf": "new", "same": "new", "gone": "new", "dir/a": "new", "dir/b": "new", "dir/c": "new", "rm/x": "new", "rm/y": "new", "again/x": "new", "again/y": "new", "logs/m": "new", "link": "→ same", "extra": "new", "null": "null", "zero": "null"}
	w := newWorld(t, "", base, image)
	w.sh(`echo -n mine >conf; rm gone; echo -n mine >dir/a; rm dir/b; echo -n mine >dir/d; rm -r rm
		rm -r again; mkdir -m 700 again; echo -n mine >again/z; rm -r logs; ln -s /data/logs logs
		ln -sf elsewhere link; rm zero; mknod -m 644 zero c 1 5; chown 7 null; mkdir -p -m 751 deep; mkdir deep/er; chown 7:8 deep; echo -n mine >deep/er/file`)
	w.carried()
	if d := differ(tree(t, w.next), map[string]string{
		"null": `20644 7:0 device 103`, "zero": `20644 0:0 device 105`,
		"conf": `100644 0:0 "mine"`, "same": `100644 0:0 "new"`, "extra": `100644 0:0 "new"`,
		"dir": `40755 0:0`, "dir/a": `100644 0:0 "mine"`, "dir/c": `100644 0:0 "new"`, "dir/d": `100644 0:0 "mine"`,
		"again": `40700 0:0`, "again/z": `100644 0:0 "mine"`, "logs": `120777 0:0 → /data/logs`, "link": `120777 0:0 → elsewhere`,
		"deep": `40751 7:8`, "deep/er": `40755 0:0`, "deep/er/file": `100644 0:0 "mine"`}); d != "" {
		t.Error(d)
	}
}

// As entrypoints do it: everything is in the layer, and nothing has changed.
func TestAChangedOwnerLeavesTheNewContent(t *testing.T) {
	for _, options := range []string{"", "metacopy=on,redirect_dir=on"} {
		w := newWorld(t, options, map[string]string{"app/a": "old", "app/sub/b": "old", "app/dropped": "old", "app/l": "→ a"},
			map[string]string{"app/a": "new and longer", "app/sub/b": "new", "app/sub/c": "new", "app/l": "→ a"})
		w.sh(`chown -hR 7:8 app; chmod 4750 app/a; chmod 1777 app/sub; touch app/sub/b; echo -n mine >app/sub/mine`)
		w.carried()
		if d := differ(tree(t, w.next), map[string]string{"app": `40755 7:8`, "app/a": `104750 7:8 "new and longer"`, "app/l": `120777 7:8 → a`,
			"app/sub": `41777 7:8`, "app/sub/b": `100644 7:8 "new"`, "app/sub/c": `100644 0:0 "new"`, "app/sub/mine": `100644 0:0 "mine"`}); d != "" {
			t.Errorf("with %q: %s", options, d)
		}
	}
}

func TestEachKindComesWithAllItHas(t *testing.T) {
	w := newWorld(t, "", map[string]string{"base": ""}, map[string]string{"cap": "new", "dir/": ""})
	w.sh(`echo mine >cap; chown 7:8 cap; chmod 6755 cap; mkfifo -m 622 fifo; mknod -m 640 null c 1 3; ln -s cap link; chown -h 9:9 link
		truncate -s 20M sparse; printf end | dd of=sparse bs=1 seek=10000000 conv=notrunc 2>/dev/null; mkdir -m 1777 dir; touch -d @1000000000 dir
		echo one >h1; mkdir sub; ln h1 sub/h2; ln h1 h3; touch -h -d @1111111111.5 cap link fifo null h1`)
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	must(t, unix.Setxattr(w.in("cap"), "security.capability", []byte(capability), 0))
	must(t, unix.Setxattr(w.in("cap"), "user.note", []byte("kept"), 0))
	must(t, unix.Setxattr(w.in("dir"), "trusted.note", []byte("kept"), 0))
	must(t, unix.Lsetxattr(w.in("link"), "trusted.note", []byte("kept"), 0))
	listener, err := net.Listen("unix", w.in("socket"))
	must(t, err)
	defer listener.Close()
	c := w.carried()
	want := tree(t, w.old)
	delete(want, "socket")
	delete(want, "base")
	if d := differ(tree(t, w.next), want); d != "" {
		t.Error(d)
	}
	for name, attribute := range map[string]string{"cap": "security.capability", "cap ": "user.note", "dir": "trusted.note", "link": "trusted.note"} {
		if got, want := xattr(w.next+"/"+strings.TrimSpace(name), attribute), xattr(w.in(strings.TrimSpace(name)), attribute); got != want || want == "" {
			t.Errorf("%s of %s is %q, want %q", attribute, name, got, want)
		}
	}
	for _, name := range []string{"cap", "fifo", "null", "link", "dir", "sub", "sparse"} {
		if got, want := stat(t, w.next+"/"+name).Mtim, stat(t, w.in(name)).Mtim; got != want {
			t.Errorf("%s was changed at %v, want %v", name, got, want)
		}
	}
	if blocks := stat(t, w.next+"/sparse").Blocks; blocks > 64 {
		t.Errorf("the sparse file takes %d blocks", blocks)
	}
	if a, b := stat(t, w.next+"/h1"), stat(t, w.next+"/sub/h2"); a.Ino != b.Ino || a.Nlink != 3 {
		t.Errorf("hard links are %d and %d, %d names", a.Ino, b.Ino, a.Nlink)
	}
	if got := c.Stats(); got.Sockets != 1 || got.Entries != 10 || got.Bytes == 0 {
		t.Errorf("it tells of %v", got)
	}
}

func xattr(name, attribute string) string {
	b := make([]byte, 256)
	n, _ := unix.Lgetxattr(name, attribute, b)
	return string(b[:max(n, 0)])
}

func stat(t testing.TB, name string) (st unix.Stat_t) {
	t.Helper()
	must(t, unix.Lstat(name, &st))
	return st
}

func TestWhatIsMountedIsLeftOut(t *testing.T) {
	w := newWorld(t, "", map[string]string{"run/": "", "etc/": ""}, map[string]string{"etc/hosts": "new"})
	w.sh(`echo -n mine >run/pid; echo -n stub >etc/hosts; mkdir -p var/run/secrets; echo -n mine >var/run/secrets/x; echo -n mine >var/run/y; echo -n mine >running`)
	w.carried("/run", "/etc/hosts", "/var/run/secrets")
	w.has(map[string]string{"run": "", "etc/hosts": `100644 0:0 "new"`, "var/run/secrets": "", "var/run/y": `100644 0:0 "mine"`, "running": `100644 0:0 "mine"`})
}

func TestAnotherKindIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ old, script, image string }{
		"a file where a directory is":         {"old/", `echo x >x`, "x/y"},
		"a directory where a file is":         {"old/", `mkdir x`, "x"},
		"below what is a file now":            {"x/old", `echo mine >x/y`, "x"},
		"a deleted file that is a directory":  {"x", `rm x`, "x/y"},
		"a changed file that is a directory":  {"x", `echo mine >x`, "x/y"},
		"a remade directory that is a file":   {"x/old", `rm -r x; mkdir x`, "x"},
		"below a symlink that leads nowhere":  {"x/old", `echo mine >x/y`, "x→"},
		"a directory for a link that is lost": {"old/", `mkdir x`, "x→"},
	} {
		t.Run(name, func(t *testing.T) {
			image := map[string]string{c.image: "new"}
			if at, isLink := strings.CutSuffix(c.image, "→"); isLink {
				image = map[string]string{at: "→ nowhere"}
			}
			w := newWorld(t, "", map[string]string{c.old: "old"}, image)
			w.sh(c.script)
			w.refused(plenty, nil, "another kind at /x,")
		})
	}
}

// The new image has moved a directory and left a symlink, as /bin → usr/bin.
func TestSymlinksOfTheImageAreFollowedInside(t *testing.T) {
	outside := t.TempDir()
	w := newWorld(t, "", map[string]string{"bin/a": "old", "lib/a": "old", "abs/a": "old", "out/a": "old"},
		map[string]string{"usr/bin/a": "new", "bin": "→ usr/bin", "lib": "→ ../../../usr/lib", "usr/lib/": "", "abs": "→ /usr/lib", "fresh": "→ usr/bin", "out": "→ " + outside})
	w.sh(`echo -n mine >bin/tool; echo -n mine >lib/so; echo -n mine >abs/too; rm bin/a; mkdir fresh; echo -n mine >fresh/f`)
	w.carried()
	w.has(map[string]string{"bin": `120777 0:0 → usr/bin`, "usr/bin/tool": `100644 0:0 "mine"`, "usr/lib/so": `100644 0:0 "mine"`, "usr/lib/too": `100644 0:0 "mine"`,
		"usr/bin/a": "", "fresh": `120777 0:0 → usr/bin`, "usr/bin/f": `100644 0:0 "mine"`})
	w.anew()
	w.sh(`echo mine >out/secret`)
	w.refused(plenty, nil, "another kind at /out,")
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v %v", left, err)
	}
}

// Other tools than the kernel write whiteouts as attributes.
func TestWhiteoutsInAttributes(t *testing.T) {
	w := newWorld(t, "", map[string]string{"d/a": "old", "d/b": "old"}, map[string]string{"d/a": "new", "d/b": "new"})
	upper := w.at("old/upper")
	must(t, os.MkdirAll(upper+"/d", 0o755))
	must(t, os.WriteFile(upper+"/d/a", nil, 0o644))
	must(t, unix.Setxattr(upper+"/d/a", "trusted.overlay.whiteout", []byte("y"), 0))
	must(t, unix.Setxattr(upper+"/d", "trusted.overlay.opaque", []byte("x"), 0))
	w.carried()
	w.has(map[string]string{"d/a": "", "d/b": `100644 0:0 "new"`})
}

// With redirect_dir a renamed directory lies below under its former name.
func TestARenamedDirectoryComesWhole(t *testing.T) {
	w := newWorld(t, "redirect_dir=on,metacopy=on", map[string]string{"d/a": "old", "d/sub/b": "old"}, map[string]string{"d/a": "new", "e/": ""})
	must(t, os.Rename(w.in("d"), w.in("moved"))) // mv would copy where the kernel did not want to
	w.sh(`echo -n mine >moved/c; chmod 600 moved/a`)
	w.carried()
	w.has(map[string]string{"d": "", "moved/a": `100600 0:0 "old"`, "moved/sub/b": `100644 0:0 "old"`, "moved/c": `100644 0:0 "mine"`})
}

func TestALimitIsToldWithFigures(t *testing.T) {
	w := newWorld(t, "", map[string]string{"own": strings.Repeat("x", 100<<10)}, map[string]string{"own": strings.Repeat("y", 3<<20)})
	w.sh(`dd if=/dev/zero of=big bs=1M count=2 2>/dev/null; touch a b c`)
	before := tree(t, w.next)
	w.refused(Limit{Bytes: 1 << 20, Entries: 100}, ErrTooLarge, "2 MiB in 4 entries, where the limit is 1 MiB in 100 entries")
	w.refused(Limit{Bytes: 8 << 20, Entries: 3}, ErrTooLarge, "more than 3 entries")
	if d := differ(tree(t, w.next), before); d != "" {
		t.Errorf("something was copied: %s", d)
	}
	w.sh(`rm big; chown 7 own`) // has the new image's 3 MiB copied up
	w.refused(Limit{Bytes: 1 << 20, Entries: 100}, ErrTooLarge, "more than 1 MiB")
}

func TestAFullDiskIsAnError(t *testing.T) {
	w := newWorld(t, "", map[string]string{"x": ""}, map[string]string{"x": ""})
	w.sh(`dd if=/dev/zero of=big bs=1M count=2 2>/dev/null`)
	small := t.TempDir()
	must(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"))
	defer unix.Unmount(small, unix.MNT_DETACH)
	w.next = small
	w.refused(plenty, unix.ENOSPC, "carry /big")
}

func TestGivenUpInTime(t *testing.T) {
	w := newWorld(t, "", map[string]string{"x": ""}, map[string]string{"x": ""})
	w.sh(`echo mine >x`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if err := w.copy(plenty).Run(ctx); err == nil || context.Cause(ctx) == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("got %v", err)
	}
}
