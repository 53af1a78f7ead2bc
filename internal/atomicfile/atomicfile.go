// Package atomicfile replaces files so that every reader, at every moment and
// after a crash at any moment, sees the whole old content or the whole new one.
//
// All names are taken below an os.Root and cannot lead out of it. A symbolic
// link in the file's place is replaced, never written through; one in the place
// of a parent directory is refused, as is replacing a directory.
package atomicfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// prefix marks unfinished files, which Sweep removes after a crash.
const prefix = ".hotpatch-"

const (
	fileMode fs.FileMode = 0o644
	dirMode  fs.FileMode = 0o755
)

// File is the new content of a file while it is written. Nobody sees it under
// its name before Commit.
type File struct {
	*os.File
	root       *os.Root
	temp, name string
}

// Create begins the new content of name, making its parent directories where
// they are missing. End with Commit or Abort.
func Create(root *os.Root, name string) (*File, error) {
	if err := Parents(root, name); err != nil {
		return nil, err
	}
	mode, owner, err := keep(root, name)
	if err != nil {
		return nil, err
	}
	temp := path.Join(path.Dir(name), prefix+rand.Text()+".tmp")
	file, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin to replace %s: %w", name, err)
	}
	f := &File{File: file, root: root, temp: temp, name: name}
	if err := f.dress(mode, owner); err != nil {
		f.Abort()
		return nil, fmt.Errorf("keep owner and mode of %s: %w", name, err)
	}
	return f, nil
}

// Write replaces name with content.
func Write(root *os.Root, name string, content []byte) error {
	f, err := Create(root, name)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		f.Abort()
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return f.Commit()
}

// Commit puts the content in place. When it returns nil the new content is
// there even after a loss of power.
func (f *File) Commit() error {
	err := errors.Join(f.Sync(), f.File.Close())
	if err == nil {
		err = f.root.Rename(f.temp, f.name)
	}
	if err != nil {
		f.root.Remove(f.temp)
		return fmt.Errorf("replace %s: %w", f.name, err)
	}
	return syncDir(f.root, path.Dir(f.name))
}

// Abort throws the new content away; the old stays. After Commit it does
// nothing.
func (f *File) Abort() {
	if f.File.Close() == nil {
		f.root.Remove(f.temp)
	}
}

// Sweep removes what crashes have left unfinished. What cannot be read, or goes
// away meanwhile, is passed over.
func Sweep(root *os.Root) error {
	var left []error
	fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !Temporary(name) {
			return nil
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left = append(left, err)
		}
		return nil
	})
	return errors.Join(left...)
}

// Temporary tells whether a file of this name is unfinished content.
func Temporary(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, prefix) && strings.HasSuffix(base, ".tmp")
}

// Parents makes the directories above name. A link among them is refused: even
// inside the root it could be turned elsewhere between two updates.
func Parents(root *os.Root, name string) error {
	dir := path.Dir(name)
	if err := root.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("make the directory of %s: %w", name, err)
	}
	for ; dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(dir)
		if err != nil {
			return fmt.Errorf("look at the directory of %s: %w", name, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("replace %s: %s is a symbolic link, which is not followed", name, dir)
		}
	}
	return nil
}

// keep is the mode and owner that the new content takes over from the old.
func keep(root *os.Root, name string) (fs.FileMode, *syscall.Stat_t, error) {
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fileMode, nil, nil
	case err != nil:
		return 0, nil, fmt.Errorf("look at %s: %w", name, err)
	case info.Mode().Type() == fs.ModeSymlink:
		return fileMode, nil, nil
	case !info.Mode().IsRegular():
		return 0, nil, fmt.Errorf("replace %s: it is not a file but a %s", name, kind(info.Mode()))
	}
	return info.Mode().Perm(), info.Sys().(*syscall.Stat_t), nil
}

func kind(mode fs.FileMode) string {
	if mode.IsDir() {
		return "directory"
	}
	return "special file"
}

// dress gives the unfinished file its mode and owner. A process without the
// right to give files away goes on as their owner.
func (f *File) dress(mode fs.FileMode, owner *syscall.Stat_t) error {
	if owner != nil {
		err := f.Chown(int(owner.Uid), int(owner.Gid))
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return f.Chmod(mode)
}

func syncDir(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return fmt.Errorf("make the new content of %s durable: %w", name, err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("make the new content of %s durable: %w", name, err)
	}
	return nil
}
