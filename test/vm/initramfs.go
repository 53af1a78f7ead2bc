package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
)

// writeInitramfs writes what the kernel starts with: the guest program, and the
// modules in the order of loading, by which their names are sorted.
func writeInitramfs(ctx context.Context, file, guest string, k kernel) error {
	program, err := os.ReadFile(guest)
	if err != nil {
		return err
	}
	order, err := k.load(ctx)
	if err != nil {
		return err
	}
	a := &archive{}
	for _, dir := range []string{"dev", "proc", "sys", "root", "modules"} {
		a.add(dir, 0o40755, nil)
	}
	a.add("init", 0o100755, program)
	for i, m := range order {
		a.add(fmt.Sprintf("modules/%03d-%s.ko", i, m.name), 0o100644, m.content)
	}
	return os.WriteFile(file, a.bytes(), 0o644)
}

// archive is a cpio archive in the one format that kernels unpack at boot
// ("newc"): fixed fields in hexadecimal, everything padded to four bytes.
type archive struct {
	b     bytes.Buffer
	count int
}

func (a *archive) add(name string, mode uint32, content []byte) {
	a.count++
	fields := []int{a.count, int(mode), 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0}
	a.b.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(&a.b, "%08X", f)
	}
	a.b.WriteString(name + "\x00")
	a.pad()
	a.b.Write(content)
	a.pad()
}

func (a *archive) pad() {
	for a.b.Len()%4 != 0 {
		a.b.WriteByte(0)
	}
}

func (a *archive) bytes() []byte {
	a.add("TRAILER!!!", 0, nil)
	return a.b.Bytes()
}
