// Command box runs a real Kubernetes on this machine and takes it away again:
// etcd, the control plane, and nodes with Debian's containerd, each node in a
// mount namespace of its own where everything stands at its stock path.
//
// It promises that `up` can be run again at any time and mends what died, and
// that `down` leaves no process, mount, link, network namespace, firewall rule
// or cgroup behind, whatever died before.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "box:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	switch name {
	case "up":
		flags := flag.NewFlagSet("box up", flag.ContinueOnError)
		nodes := flags.Int("nodes", 1, "number of nodes")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if *nodes < 1 || *nodes > maxNodes {
			return fmt.Errorf("--nodes %d: want 1 to %d", *nodes, maxNodes)
		}
		return up(*nodes)
	case "down":
		return down()
	case "status":
		return status()
	case "reboot", "node", "inside": // the last two are started by up, and by node
		return nodeCommand(name, args[1:])
	case "registry": // started by up
		return runRegistry()
	}
	return fmt.Errorf("usage: box up [--nodes N] | down | reboot N | status")
}

func nodeCommand(name string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("box %s wants the number of a node", name)
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	switch name {
	case "reboot":
		return rebootNode(n)
	case "node":
		return runNode(n)
	}
	return runInside(n)
}
