package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// writeConfigs writes what the nodes and the proxy read.
func writeConfigs(nodes int) error {
	for n := 1; n <= nodes; n++ {
		for file, content := range nodeConfigs(n) {
			if err := writeFile(filepath.Join(nodeDir(n), file), content); err != nil {
				return err
			}
		}
	}
	return writeFile(configFile("proxy.yaml"), proxyConfig())
}

// nodeConfigs are files below a node's directory, named as the node sees them.
func nodeConfigs(n int) map[string]string {
	return map[string]string{
		"etc/containerd/config.toml":                             containerdConfig(),
		"etc/containerd/certs.d/" + registryName + "/hosts.toml": registryHosts(),
		"etc/cni/net.d/10-bridge.conflist":                       networkConfig(),
		"kubelet.yaml":                                           kubeletConfig(n),
	}
}

// containerdConfig keeps the stock root, state and socket. No AppArmor and no
// raising of OOM scores: test machines often lack both.
func containerdConfig() string {
	return fmt.Sprintf(`version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  disable_apparmor = true
  restrict_oom_score_adj = true
  enable_unprivileged_ports = false
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
`, pauseImage)
}

func registryHosts() string {
	return fmt.Sprintf("server = %[1]q\n[host.%[1]q]\n  capabilities = [\"pull\", \"resolve\"]\n", fmt.Sprintf("http://127.0.0.1:%d", registryPort))
}

// networkConfig puts every node's pods on one bridge of the host.
func networkConfig() string {
	return fmt.Sprintf(`{"cniVersion": "0.4.0", "name": "hotpatch-box", "plugins": [{
  "type": "bridge", "bridge": %q, "isGateway": true, "ipMasq": false, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`, podBridge, filepath.Join(runDir, "addresses"), podSubnet)
}

// kubeletConfig is stock but for where things are, cgroup v1, and eviction
// limits that a full disk of a test machine would trip.
func kubeletConfig(n int) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
healthzPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: %[2]s}}
authorization: {mode: Webhook}
tlsCertFile: %[3]s
tlsPrivateKeyFile: %[4]s
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /%[5]s/%[6]s
failCgroupV1: false
failSwapOn: false
resolvConf: ""
clusterDomain: cluster.local
clusterDNS: [%[7]q]
volumePluginDir: /var/lib/kubelet/volumeplugins
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: "0%%", nodefs.inodesFree: "0%%", imagefs.available: "0%%"}
serializeImagePulls: false
crashLoopBackOff: {maxContainerRestartPeriod: 1s} # tests kill what must come back
imagePullCredentialsVerificationPolicy: NeverVerify # tests may import images by hand
`, nodeAddress(n), pkiFile("ca.crt"), pkiFile(nodeName(n)+"-server.crt"), pkiFile(nodeName(n)+"-server.key"), cgroup, nodeName(n), serviceDNS)
}

// proxyConfig masquerades everything: pods share a bridge, and without
// br_netfilter an answer would go straight back, past the translation.
func proxyConfig() string {
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: %s
healthzBindAddress: 127.0.0.1:23766
metricsBindAddress: 127.0.0.1:23769
clientConnection: {kubeconfig: %s}
mode: iptables
iptables: {masqueradeAll: true, minSyncPeriod: 0s}
clusterCIDR: %s
hostnameOverride: %s
conntrack: {maxPerCore: 0, min: 0}
`, nodeAddress(1), kubeconfigFile("proxy"), podSubnet, nodeName(1))
}

func writeFile(file, content string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(content), 0o644)
}
