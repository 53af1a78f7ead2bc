package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"hotpatch.dev/hotpatch/internal/buildinfo"
	"hotpatch.dev/hotpatch/nodeagent"
)

// settings is everything a flag sets.
type settings struct {
	options             nodeagent.Options
	kube                kubernetes.Interface
	logFormat, logLevel string
	done                bool // another thing was asked, and done
}

func parse(args []string) (s settings, err error) {
	var version bool
	var kubeconfig, seccompDir string
	carry := resource.QuantityValue{Quantity: resource.MustParse("64Mi")}
	f := pflag.NewFlagSet("hotpatch-agent", pflag.ContinueOnError)
	o := &s.options
	f.StringVar(&o.NodeName, "node", os.Getenv("NODE_NAME"), "name of this node")
	f.StringVar(&o.Socket, "socket", "/run/containerd/containerd.sock", "containerd's socket")
	f.StringVar(&o.SnapshotDir, "snapshots", "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs", "containerd's overlayfs snapshots")
	f.StringVar(&o.StageDir, "stage", "/run/hotpatch", "directory of ours to build new roots on")
	f.StringVar(&o.CgroupDir, "cgroups", "/sys/fs/cgroup", "the host's cgroup filesystem")
	f.StringVar(&o.Listen, "listen", ":9090", "address that metrics are served on; empty: nowhere")
	f.IntVar(&o.Workers, "workers", 8, "pods worked on at once")
	f.Var(&carry, "carry-limit", "largest writable layer that carry: [all] takes along, in bytes")
	f.IntVar(&o.CarryLimit.Entries, "carry-entries", 10000, "most files, directories and deletions that it may hold")
	f.BoolVar(&o.AllowUntested, "allow-untested", false, "swap also on platforms that the swap's tests were not run on")
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig file; empty inside a cluster")
	f.StringVar(&seccompDir, "install-seccomp", "", "write the agent's seccomp profile into this directory and exit")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warning or error")
	f.BoolVar(&version, "version", false, "print the version and exit")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	o.CarryLimit.Bytes = carry.Value()
	switch {
	case version:
		s.done = true
		fmt.Println(buildinfo.Line("hotpatch-agent"))
		return s, nil
	case seccompDir != "":
		s.done = true
		return s, nodeagent.InstallSeccomp(seccompDir)
	case o.NodeName == "":
		return s, fmt.Errorf("give the node's name with --node or NODE_NAME")
	}
	o.At = killAt(os.Getenv("HOTPATCH_TEST_KILL_AT"))
	s.kube, err = connect(kubeconfig)
	return s, err
}

func connect(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	config.QPS, config.Burst = 50, 100
	return kubernetes.NewForConfig(config)
}

// killAt lets a test kill the agent after a step of a swap.
func killAt(step string) func(string) {
	if step == "" {
		return nil
	}
	return func(at string) {
		if at == step {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
}
