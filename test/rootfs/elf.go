package rootfs

import (
	"bytes"
	"debug/elf"
	"fmt"
	"path"
)

// libraryDirs is where Debian's loader looks without being told.
var libraryDirs = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"}

// Complete checks that a program finds its loader and every library in the
// tree, theirs too: it is a poor surprise to learn of it from a pod's log.
func (t Tree) Complete(program string) error {
	missing, seen := "", map[string]bool{}
	queue := []string{program}
	for len(queue) > 0 && missing == "" {
		name := queue[0]
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		needed, err := t.needs(name)
		if err != nil {
			return err
		}
		for _, library := range needed {
			if at, ok := t.find(library); ok {
				queue = append(queue, at)
			} else {
				missing = library
			}
		}
	}
	if missing != "" {
		return fmt.Errorf("%s needs %s, which is in none of the packages", program, missing)
	}
	return nil
}

func (t Tree) needs(name string) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(t[name].Content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer file.Close()
	return file.ImportedLibraries()
}

// find follows the links by which libraries are known.
func (t Tree) find(library string) (string, bool) {
	for _, dir := range libraryDirs {
		name := path.Join(dir, library)
		for t[name].Link != "" {
			name = path.Join(path.Dir(name), t[name].Link)
		}
		if _, ok := t[name]; ok {
			return name, true
		}
	}
	return "", false
}
