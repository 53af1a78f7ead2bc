package rootfs

import (
	"path/filepath"
	"strings"
	"testing"
)

// A program whose libraries are not all there is found out before a pod is.
func TestMissingLibrary(t *testing.T) {
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	files := Tree{}
	if err := files.CopyFile(shell, "bin/sh"); err != nil {
		t.Fatal(err)
	}
	if err := files.Complete("bin/sh"); err == nil || !strings.Contains(err.Error(), "bin/sh needs libc.so.6") {
		t.Errorf("got %v", err)
	}
}
