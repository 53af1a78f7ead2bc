package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// maxNodes is how many nodes one machine is asked to be.
const maxNodes = 4

const forwardFile = "/proc/sys/net/ipv4/ip_forward"

// makeHost makes what the nodes share: the bridge with their addresses, routing,
// and a cgroup each.
func makeHost(nodes int) error {
	if _, err := os.Stat("/sys/class/net/" + apiBridge); err != nil {
		if err := run("ip", "link", "add", apiBridge, "type", "bridge"); err != nil {
			return err
		}
	}
	for n := 1; n <= nodes; n++ {
		if err := run("ip", "addr", "replace", nodeAddress(n)+"/32", "dev", apiBridge); err != nil {
			return err
		}
	}
	if err := run("ip", "link", "set", apiBridge, "up"); err != nil {
		return err
	}
	if err := forwardPackets(); err != nil {
		return err
	}
	return makeCgroups(nodes)
}

// forwardPackets turns routing on and remembers how it was.
func forwardPackets() error {
	was, err := os.ReadFile(forwardFile)
	if err != nil {
		return err
	}
	if _, err := os.Stat(configFile("ip_forward")); err != nil {
		if err := writeFile(configFile("ip_forward"), string(was)); err != nil {
			return err
		}
	}
	return os.WriteFile(forwardFile, []byte("1"), 0o644)
}

// hierarchies are the roots of cgroup v1's hierarchies, or v2's one.
func hierarchies() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*")
	var out []string
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err == nil && info.IsDir() && filepath.Base(dir) != "unified" {
			out = append(out, dir)
		}
	}
	return out
}

// makeCgroups makes each node's root cgroup. A cpuset is born empty and lets
// nothing run until it is filled from its parent.
func makeCgroups(nodes int) error {
	for _, root := range hierarchies() {
		for n := 1; n <= nodes; n++ {
			dir := filepath.Join(root, cgroup, nodeName(n))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if filepath.Base(root) != "cpuset" {
				continue
			}
			for _, d := range []string{filepath.Dir(dir), dir} {
				if err := fillCpuset(d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func fillCpuset(dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// machineFits says at once why the box cannot be here.
func machineFits() error {
	if os.Getuid() != 0 {
		return errors.New("the cluster needs root: it makes real namespaces, mounts and cgroups. Run it as root")
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("the cluster needs Linux: %w", err)
	}
	if !strings.Contains(string(filesystems), "overlay") {
		return errors.New("the cluster needs overlayfs, which this kernel does not list in /proc/filesystems")
	}
	return nil
}

// installPackages installs what the nodes run besides Kubernetes.
func installPackages() error {
	var missing []string
	for file, pkg := range map[string]string{
		"/usr/bin/containerd": "containerd", "/usr/sbin/runc": "runc", "/usr/lib/cni/bridge": "containernetworking-plugins",
		"/usr/sbin/iptables": "iptables", "/usr/bin/curl": "curl", "/usr/sbin/conntrack": "conntrack", "/usr/bin/socat": "socat", "/usr/sbin/ip": "iproute2",
	} {
		if _, err := os.Stat(file); err != nil && !(pkg == "iproute2" && exists("/sbin/ip", "/bin/ip")) {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Printf("installing Debian packages for the nodes (container runtime, pod network, services) and for the example by curl: %s\n", strings.Join(missing, " "))
	// Others that install at the same time hold one of these locks, or wait for it.
	const script = `apt-get update -qq && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@"`
	return run("flock", append([]string{"/var/lib/dpkg", "sh", "-c", script, "sh"}, missing...)...)
}

func exists(files ...string) bool {
	for _, file := range files {
		if _, err := os.Stat(file); err == nil {
			return true
		}
	}
	return false
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1") // RUNLEVEL: packages start no service
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
