package runtime

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// OwnRoot is where the container's shim still has the container's own root
// mounted, as the shim sees it. It is looked up among the shim's mounts: where
// containerd has its state is not to be seen from its socket.
func (c Container) OwnRoot() (shim int, dir string, err error) {
	if shim, err = process.Parent(c.PID); err != nil {
		return 0, "", fmt.Errorf("find the shim of container %s: %w", c.ID, err)
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return 0, "", err
	}
	defer proc.Close()
	mounts, err := mount.Table(proc, shim)
	if err != nil {
		return 0, "", fmt.Errorf("find the own root of container %s: %w", c.ID, err)
	}
	bundle := path.Join("/", namespace, c.ID, "rootfs")
	i := slices.IndexFunc(mounts, func(m mount.Entry) bool { return strings.HasSuffix(m.Path, bundle) })
	if i < 0 {
		return 0, "", fmt.Errorf("process %d, the shim of container %s, has the container's own root mounted nowhere", shim, c.ID)
	}
	return shim, mounts[i].Path, nil
}
