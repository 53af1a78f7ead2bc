package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

const etcdURL = "http://127.0.0.1:23790"

// startControlPlane starts etcd and the API server, waits until it is ready,
// and then the rest: a controller manager that finds no API server exits.
func startControlPlane() error {
	kube := binary("kube")
	if err := ensure("etcd", kube, "etcd", "--name", "box", "--data-dir", filepath.Join(stateDir, "etcd"),
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", "http://127.0.0.1:23800", "--initial-advertise-peer-urls", "http://127.0.0.1:23800",
		"--initial-cluster", "box=http://127.0.0.1:23800", "--unsafe-no-fsync", "--log-level", "warn"); err != nil {
		return err
	}
	if err := ensure("apiserver", kube, apiserverFlags()...); err != nil {
		return err
	}
	if err := wait(60*time.Second, apiReady); err != nil {
		return err
	}
	for name, args := range followers() {
		if err := ensure(name, kube, args...); err != nil {
			return err
		}
	}
	return nil
}

func apiserverFlags() []string {
	return []string{"kube-apiserver", "--etcd-servers", etcdURL,
		"--bind-address", nodeAddress(1), "--advertise-address", nodeAddress(1), "--secure-port", fmt.Sprint(apiPort),
		"--endpoint-reconciler-type", "lease", "--client-ca-file", pkiFile("ca.crt"),
		"--tls-cert-file", pkiFile("apiserver.crt"), "--tls-private-key-file", pkiFile("apiserver.key"),
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", pkiFile("service-accounts.pub"), "--service-account-signing-key-file", pkiFile("service-accounts.key"),
		"--kubelet-client-certificate", pkiFile("apiserver-kubelet.crt"), "--kubelet-client-key", pkiFile("apiserver-kubelet.key"),
		"--kubelet-certificate-authority", pkiFile("ca.crt"), "--kubelet-preferred-address-types", "InternalIP",
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--service-cluster-ip-range", services, "--allow-privileged", "--profiling=false"}
}

// followers are the controller manager (with a client fast enough to make the
// default ServiceAccount at once), the scheduler and the proxy.
func followers() map[string][]string {
	credentials := func(user string) []string {
		file := kubeconfigFile(user)
		return []string{"--kubeconfig", file, "--authentication-kubeconfig", file, "--authorization-kubeconfig", file,
			"--bind-address", "127.0.0.1", "--leader-elect=false", "--profiling=false", "--cert-dir", filepath.Join(stateDir, user+"-certs")}
	}
	return map[string][]string{
		"controller-manager": append([]string{"kube-controller-manager", "--secure-port", "23757", "--use-service-account-credentials",
			"--service-account-private-key-file", pkiFile("service-accounts.key"), "--root-ca-file", pkiFile("ca.crt"),
			"--kube-api-qps", "300", "--kube-api-burst", "600", "--flex-volume-plugin-dir", filepath.Join(stateDir, "flexvolume")}, credentials("controller-manager")...),
		"scheduler": append([]string{"kube-scheduler", "--secure-port", "23759"}, credentials("scheduler")...),
		"proxy":     {"kube-proxy", "--config", configFile("proxy.yaml")},
	}
}

func apiReady() error {
	_, err := apiGet("/readyz")
	return err
}

// nodesReady waits until every node is Ready and pods can be made.
func nodesReady(nodes int) error {
	for n := 1; n <= nodes; n++ {
		if err := wait(60*time.Second, func() error { return nodeReady(n) }); err != nil {
			return fmt.Errorf("%s: %w", nodeName(n), err)
		}
	}
	return wait(30*time.Second, func() error {
		_, err := apiGet("/api/v1/namespaces/default/serviceaccounts/default")
		return err
	})
}

func nodeReady(n int) error {
	body, err := apiGet("/api/v1/nodes/" + nodeName(n))
	if err != nil {
		return err
	}
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(body, &node); err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return nil
		}
	}
	return fmt.Errorf("not Ready: %+v", node.Status.Conditions)
}

func apiGet(path string) ([]byte, error) {
	ca, err := os.ReadFile(pkiFile("ca.crt"))
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(pkiFile("admin.crt"), pkiFile("admin.key"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, apiURL+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return body, err
}

// wait asks check every 50 ms until it has no error, or limit has passed.
func wait(limit time.Duration, check func() error) error {
	end := time.Now().Add(limit)
	for {
		err := check()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
