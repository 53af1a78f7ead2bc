package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// Where the box keeps things. State and run directories are the box's alone and
// go away with it; the tools directory is the caller's .cluster.
const (
	stateDir = "/var/lib/hotpatch-box"
	runDir   = "/run/hotpatch-box"
	cgroup   = "hotpatch-box"

	apiBridge  = "hpbox-api" // portless; carries the nodes' own addresses
	podBridge  = "hpbox-pods"
	podSubnet  = "10.244.77.0/24"
	services   = "10.96.0.0/16"
	serviceAPI = "10.96.0.1"
	serviceDNS = "10.96.0.10"

	apiPort      = 6443
	registryPort = 5000
	registryName = "registry.example:5000"
	pauseImage   = registryName + "/pause:1"
)

// apiURL is where people, nodes and pods reach the API server.
var apiURL = fmt.Sprintf("https://%s:%d", nodeAddress(1), apiPort)

// nodeAddress is a node's own address on the portless bridge.
func nodeAddress(n int) string { return fmt.Sprintf("10.246.0.%d", n) }

func nodeName(n int) string { return fmt.Sprintf("node%d", n) }

// nodeDir holds what is mounted over the stock paths inside one node.
func nodeDir(n int) string { return filepath.Join(stateDir, nodeName(n)) }

func pkiFile(name string) string        { return filepath.Join(stateDir, "pki", name) }
func kubeconfigFile(user string) string { return filepath.Join(stateDir, user+".kubeconfig") }
func configFile(name string) string     { return filepath.Join(stateDir, name) }
func logFile(name string) string        { return filepath.Join(stateDir, "log", name+".log") }

// stockPaths are bound to directories of each node's own inside its mount
// namespace, so that a DaemonSet finds them where every cluster has them.
var stockPaths = []string{
	"/run/containerd", "/var/lib/containerd", "/var/lib/kubelet", "/etc/containerd",
	"/etc/cni/net.d", "/var/lib/cni", "/run/netns", "/var/log/pods", "/var/log/containers",
}

// inMemory are those that a machine has on a tmpfs.
var inMemory = []string{"/run/containerd", "/run/netns"}

// binary is a program beside this one: kube, or box itself.
func binary(name string) string {
	self, err := os.Executable()
	if err != nil {
		self = "/proc/self/exe"
	}
	return filepath.Join(filepath.Dir(self), name)
}
