package runtimetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build has the containers' program, unless it was handed in.
func (n *Node) build() error {
	if n.program != "" {
		return nil
	}
	here, err := sourceDir()
	if err != nil {
		return err
	}
	n.program = filepath.Join(n.Dir, "server")
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-o", n.program, filepath.Join(here, "testdata/server/main.go"))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the containers' program: %w: %s", err, out)
	}
	return nil
}

// common is what all versions of the configuration share. Root, state and socket
// are apart from each other and none is where it is by default: nobody may guess
// one from the other.
const common = `
root = "DIR/root"
state = "DIR/state"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.nri.v1.nri"]
[plugins."io.containerd.internal.v1.opt"]
  path = "DIR/opt"
[plugins."io.containerd.gc.v1.scheduler"]
  schedule_delay = "0s"
  startup_delay = "10ms"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
`

// Until version 4 the socket stands at the top, since version 3 the CRI plugin
// is several.
const (
	socketAtTop = `[grpc]
  address = "DIR/socket/containerd.sock"
`
	socketOfPlugin = `[plugins."io.containerd.server.v1.grpc"]
  address = "DIR/socket/containerd.sock"
[plugins."io.containerd.server.v1.ttrpc"]
  address = "DIR/socket/containerd.sock.ttrpc"
`
	criWhole = `  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "DIR/cni"
`
	criApart = `[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  conf_dir = "DIR/cni"
`
)

var configs = map[string]string{
	"2": "version = 2" + common + criWhole + socketAtTop,
	"3": "version = 3" + common + criApart + socketAtTop,
	"4": "version = 4" + common + criApart + socketOfPlugin,
}

func (n *Node) configure() error {
	version := os.Getenv(configEnv)
	if version == "" {
		version = "2"
	}
	text, ok := configs[version]
	if !ok {
		return fmt.Errorf("%s=%s: the tests know no such version of containerd's configuration", configEnv, version)
	}
	text = strings.ReplaceAll(text, "DIR", n.Dir)
	return os.WriteFile(filepath.Join(n.Dir, "config.toml"), []byte(text), 0o600)
}
