package main

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// modules are what Debian's kernels do not have built in and a machine needs: a
// disk, a filesystem on it, and what containers' roots are made with. Where the
// kernel has one built in, or no longer has it, it is not there to be loaded.
var modules = []string{"virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "overlay", "fuse"}

// kernel is an unpacked kernel package.
type kernel struct {
	image, modules string
}

// kernel is the newest of a suite, which the package of that name depends on.
func (a *apt) kernel(ctx context.Context, name string) (k kernel, err error) {
	if name, err = a.depends(ctx, name); err != nil {
		return k, err
	}
	dir, err := a.unpacked(ctx, name)
	if err != nil {
		return k, err
	}
	images, _ := filepath.Glob(filepath.Join(dir, "boot/vmlinuz-*"))
	found, _ := filepath.Glob(filepath.Join(dir, "lib/modules/*"))
	merged, _ := filepath.Glob(filepath.Join(dir, "usr/lib/modules/*"))
	found = append(found, merged...)
	if len(images) != 1 || len(found) != 1 {
		return k, fmt.Errorf("package %s has %d kernels and %d folders of modules instead of one", name, len(images), len(found))
	}
	return kernel{image: images[0], modules: found[0]}, nil
}

// load reads the modules, each after those it depends on, which it says itself:
// a package has no list of that, it is made where it is installed.
func (k kernel) load(ctx context.Context) ([]module, error) {
	files := map[string]string{}
	err := filepath.WalkDir(k.modules, func(file string, d fs.DirEntry, err error) error {
		if strings.Contains(d.Name(), ".ko") {
			files[moduleName(file)] = file
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var order []module
	var visit func(name string) error
	visit = func(name string) error {
		if files[name] == "" || slices.ContainsFunc(order, func(m module) bool { return m.name == name }) {
			return nil
		}
		m, err := readModule(ctx, name, files[name])
		if err != nil {
			return err
		}
		for _, need := range m.needs {
			if err := visit(moduleName(need)); err != nil {
				return err
			}
		}
		order = append(order, m)
		return nil
	}
	for _, name := range modules {
		if err := visit(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// module is one of a kernel's, decompressed.
type module struct {
	name    string
	content []byte
	needs   []string
}

// readModule reads a module, which newer kernels have compressed.
func readModule(ctx context.Context, name, file string) (m module, err error) {
	m.name = name
	if strings.HasSuffix(file, ".xz") {
		m.content, err = exec.CommandContext(ctx, "xz", "-dc", file).Output()
	} else {
		m.content, err = os.ReadFile(file)
	}
	if err != nil {
		return m, fmt.Errorf("read module %s: %w", file, err)
	}
	object, err := elf.NewFile(bytes.NewReader(m.content))
	if err != nil {
		return m, fmt.Errorf("read module %s: %w", file, err)
	}
	info := object.Section(".modinfo")
	if info == nil {
		return m, fmt.Errorf("module %s says nothing of itself", file)
	}
	text, err := info.Data()
	for entry := range strings.SplitSeq(string(text), "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok && list != "" {
			m.needs = strings.Split(list, ",")
		}
	}
	return m, err
}

func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	return strings.ReplaceAll(name, "-", "_")
}
