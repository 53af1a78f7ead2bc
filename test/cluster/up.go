package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// up starts what does not run yet and waits until every node is Ready.
func up(nodes int) error {
	began := time.Now()
	say := func(format string, args ...any) {
		fmt.Printf("%5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := machineFits(); err != nil {
		return err
	}
	if err := installPackages(); err != nil {
		return err
	}
	nodes = max(nodes, nodesNow())
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"directories, keys and configuration written", func() error { return prepare(nodes) }},
		{"network and cgroups made", func() error { return makeHost(nodes) }},
		{"API server ready", startControlPlane},
		{"registry " + registryName + " ready", startRegistry},
		{"nodes started", func() error { return startNodes(nodes) }},
		{"nodes Ready", func() error { return nodesReady(nodes) }},
		// The proxy was once found ended, after the API server and a node had been
		// killed; nobody else here would start it again.
		{"control plane still there", startControlPlane},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w (logs are in %s)", step.name, err, filepath.Dir(logFile("x")))
		}
		say("%s", step.name)
	}
	return tellUser()
}

func prepare(nodes int) error {
	for _, dir := range []string{runDir, filepath.Dir(logFile("x"))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := makePKI(maxNodes); err != nil {
		return err
	}
	return writeConfigs(nodes)
}

func startNodes(nodes int) error {
	for n := 1; n <= nodes; n++ {
		if err := startNode(n); err != nil {
			return err
		}
	}
	return nil
}

// nodesNow is how many nodes an earlier `up` asked for.
func nodesNow() int {
	n := 0
	for n < maxNodes && running(nodeName(n+1)) != nil {
		n++
	}
	return n
}

// tellUser leaves the kubeconfig and kubectl beside the box, and says how to
// use them.
func tellUser() error {
	tools := filepath.Dir(binary("box"))
	kubeconfig := filepath.Join(filepath.Dir(tools), "kubeconfig")
	content, err := os.ReadFile(kubeconfigFile("admin"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(kubeconfig, content, 0o600); err != nil {
		return err
	}
	kubectl := filepath.Join(tools, "kubectl")
	if err := os.Symlink("kube", kubectl); err != nil && !os.IsExist(err) {
		return err
	}
	fmt.Printf("\nThe cluster is up. To use it:\n  export KUBECONFIG=%s PATH=%s:$PATH\n", kubeconfig, tools)
	fmt.Printf("Images pushed to 127.0.0.1:%d are %s/NAME in pods. `make cluster-down` ends it.\n", registryPort, registryName)
	return nil
}
