// Package mount is the only user of mount system calls. A mount is data; an
// error names the call, the paths and the flags in words.
//
// Calls act on the mount namespace of the thread that makes them. Whoever
// changes namespaces must hold an OS thread of its own (see Thread).
package mount

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Filesystem is one mount(2) to be made: of an overlay, as containerd describes
// it.
type Filesystem struct {
	Type    string
	Source  string
	Options []string
}

// Option is the value of an option such as "upperdir", or "".
func (f Filesystem) Option(name string) string {
	for _, o := range f.Options {
		if value, ok := strings.CutPrefix(o, name+"="); ok {
			return value
		}
	}
	return ""
}

// Error is a failed call in words.
type Error struct {
	Call string // "pivot_root"
	What string // paths and flags
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Call, e.What, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

func failed(call, what string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Call: call, What: what, Err: err}
}

// Thread runs f on an OS thread of its own, which ends with f: a thread that
// has entered a namespace, or has traced a process, is never used again.
func Thread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The first thread never ends, and /proc/self is its view: it would
			// stay in the namespace for good. Hold it while another is used.
			defer runtime.UnlockOSThread()
			done <- Thread(f)
			return
		}
		done <- f()
	}()
	return <-done
}

// Private gives this thread a mount namespace of its own, from which nothing
// spreads, and which ends with the thread.
func Private() (namespace *os.File, err error) {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return nil, failed("unshare", "mount namespace", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, failed("mount", "/ recursively private", err)
	}
	return os.Open(fmt.Sprintf("/proc/self/task/%d/ns/mnt", unix.Gettid()))
}

// Apart gives this thread a root and a working directory of its own, without
// which it cannot Enter another namespace.
func Apart() error {
	return failed("unshare", "root and working directory", unix.Unshare(unix.CLONE_FS))
}

// Enter moves this thread into a mount namespace.
func Enter(namespace *os.File) error {
	return failed("setns", namespace.Name(), unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNS))
}

// Mount mounts a filesystem on a directory. Options that overlay takes as data
// must fit one page.
func Mount(f Filesystem, on string) error {
	var data []string
	var flags uintptr
	for _, o := range f.Options {
		switch o {
		case "ro":
			flags |= unix.MS_RDONLY
		case "rw":
		case "bind":
			flags |= unix.MS_BIND
		case "rbind":
			flags |= unix.MS_BIND | unix.MS_REC
		default:
			data = append(data, o)
		}
	}
	first, _, _ := strings.Cut(f.Option("lowerdir"), ":")
	options, leave, err := fitPage(data, cmp.Or(f.Option("upperdir"), first))
	if err != nil {
		return err
	}
	defer leave()
	return failed("mount", f.Type+" on "+on, unix.Mount(f.Source, on, f.Type, flags, options))
}

// fitPage makes the layers' paths relative to the snapshots' directory, and goes
// there, where an image has so many that mount(2)'s page would overflow. The
// upper directory stays absolute: it is how a root is recognised later.
func fitPage(data []string, layer string) (options string, leave func(), err error) {
	leave = func() {}
	options = strings.Join(data, ",")
	if len(options) < os.Getpagesize() {
		return options, leave, nil
	}
	base := layersDir(layer)
	short := slices.Clone(data)
	for i, option := range short {
		if strings.HasPrefix(option, "lowerdir=") {
			short[i] = strings.ReplaceAll(option, base+"/", "")
		}
	}
	if options = strings.Join(short, ","); len(options) >= os.Getpagesize() {
		return "", leave, failed("mount", "overlay with too many layers for one page", unix.E2BIG)
	}
	if err := unix.Chdir(base); err != nil {
		return "", leave, failed("chdir", base, err)
	}
	return options, func() { unix.Chdir("/") }, nil
}

// layersDir is …/snapshots of …/snapshots/42/fs.
func layersDir(layer string) string { return filepath.Dir(filepath.Dir(layer)) }

// Clone copies the mount at a path (which must not lead over a symlink) as a
// detached tree; Recursive takes what is mounted below along.
func Clone(dir int, path string, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return nil, failed("open_tree", path+" clone", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Unshare keeps what is mounted below a path from spreading to the namespace it
// was cloned from; pivot_root refuses shared mounts too.
func Unshare(path string) error {
	return failed("mount", path+" private", unix.Mount("", path, "", unix.MS_PRIVATE, ""))
}

// Attach puts a detached tree on a path.
func Attach(tree *os.File, on string) error {
	return failed("move_mount", tree.Name()+" on "+on, unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, on, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// AttachTo puts a detached tree on a directory or file that is already open.
func AttachTo(tree, target *os.File) error {
	err := unix.MoveMount(int(tree.Fd()), "", int(target.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	return failed("move_mount", tree.Name()+" on "+target.Name(), err)
}

// Restrict sets the flags of a mount that stand in its options as mountinfo
// lists them: ro, nosuid, nodev, noexec.
func Restrict(path string, options []string) error {
	var set uint64
	for _, o := range options {
		switch o {
		case "ro":
			set |= unix.MOUNT_ATTR_RDONLY
		case "nosuid":
			set |= unix.MOUNT_ATTR_NOSUID
		case "nodev":
			set |= unix.MOUNT_ATTR_NODEV
		case "noexec":
			set |= unix.MOUNT_ATTR_NOEXEC
		}
	}
	if set == 0 {
		return nil
	}
	return failed("mount_setattr", path+" "+strings.Join(options, ","), unix.MountSetattr(unix.AT_FDCWD, path, 0, &unix.MountAttr{Attr_set: set}))
}

// Pivot makes the mount at path the root of this namespace and of every process
// in it; the old root is left on old, which lies below path.
func Pivot(path, old string) error {
	return failed("pivot_root", path+" "+old, unix.PivotRoot(path, old))
}

// Detach takes the topmost mount off a path, which must not be a symlink; what is
// open stays usable.
func Detach(path string) error {
	return failed("umount2", path+" detach", unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
}

// Start has this thread's relative paths start at a directory that is open, so
// that nobody can lead them elsewhere.
func Start(at *os.File) error {
	return failed("fchdir", at.Name(), unix.Fchdir(int(at.Fd())))
}
