package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/internal/certtest"
	"hotpatch.dev/hotpatch/test/stage"
)

// With the component sidecar-tls sidecars speak HTTPS and take files from whoever has
// the reconciler's certificate, and from nobody else.
func TestSidecarOverHTTPS(t *testing.T) {
	g := begin(t, "secure")
	ca := certtest.New(t)
	g.secret("secure", "hotpatch-sidecar-tls", ca.Files(ca.Pair("hotpatch-sidecar")))
	caller := ca.Pair("hotpatch-reconciler")
	g.secret(stage.System, "hotpatch-reconciler-tls", ca.Files(caller))
	t.Cleanup(func() {
		g.reconcilerWith("HOTPATCH_SIDECAR_CA_FILE-", "HOTPATCH_SIDECAR_CLIENT_CERT_FILE-", "HOTPATCH_SIDECAR_CLIENT_KEY_FILE-")
	})
	const dir = "/etc/hotpatch/sidecar/"
	g.reconcilerWith("HOTPATCH_SIDECAR_CA_FILE="+dir+"ca.crt", "HOTPATCH_SIDECAR_CLIENT_CERT_FILE="+dir+"tls.crt", "HOTPATCH_SIDECAR_CLIENT_KEY_FILE="+dir+"tls.key")

	g.applied()
	ip := g.released()
	g.serves(ip, g.want)
	if err := g.post(ip, "version=v9&url="+g.serve("/index.html", "rogue")); err == nil {
		t.Error("the sidecar takes plain HTTP")
	}
	rogue := url.Values{"version": {"v9"}, "url": {g.serve("/index.html", "rogue")}}
	ask := func(config *tls.Config) (*http.Response, error) {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config}}
		return client.PostForm("https://"+ip+":5000/hot-update", rogue)
	}
	if resp, err := ask(ca.Trusts("hotpatch-sidecar")); err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a certificate: %s", resp.Status)
		}
	}
	other := ca.Trusts("hotpatch-sidecar")
	other.Certificates = []tls.Certificate{ca.TLS(ca.Pair("somebody"))}
	if resp, err := ask(other); err != nil {
		t.Errorf("with another's certificate: %v", err)
	} else {
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("with another's certificate: %s", resp.Status)
		}
	}
	g.serves(ip, g.want)
}

// secret makes a Secret for the time of the test.
func (s *scene) secret(namespace, name string, files map[string]string) {
	s.Helper()
	secrets := on.Kube.CoreV1().Secrets(namespace)
	_, err := secrets.Create(s.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: files}, metav1.CreateOptions{})
	s.must(err)
	s.Cleanup(func() { s.drop(secrets.Delete, name) })
}

// configMap makes a ConfigMap for the time of the test.
func (s *scene) configMap(namespace, name string, files map[string]string) {
	s.Helper()
	maps := on.Kube.CoreV1().ConfigMaps(namespace)
	_, err := maps.Create(s.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: files}, metav1.CreateOptions{})
	s.must(err)
	s.Cleanup(func() { s.drop(maps.Delete, name) })
}

// drop takes away what was made for a test.
func (s *scene) drop(remove func(context.Context, string, metav1.DeleteOptions) error, name string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := remove(ctx, name, metav1.DeleteOptions{}); err != nil {
		s.Error(err)
	}
}

// A pod whose URL is dead gets its file from the reconciler by digest, and shows its
// ServiceAccount's token for that: the reconciler of the recorded URL is gone, and the
// HotPatch is suspended, so that nobody brings the file by a call.
func TestRestoreByServiceAccountToken(t *testing.T) {
	g := begin(t, "restore")
	const service = "test/e2e/testdata/restore/service.yaml"
	g.kubectl("apply", "-f", service)
	t.Cleanup(func() {
		if _, err := on.Kubectl(context.Background(), "delete", "--ignore-not-found", "-f", service); err != nil {
			t.Error(err)
		}
	})
	g.applied()
	g.serves(g.released(), g.want)
	g.edit("restore/page.yaml", "spec:\n", "spec:\n  suspend: true\n")
	g.push("Nobody touches the page now")
	g.must(stage.Eventually(g.ctx, limit, func(ctx context.Context) error {
		out, err := on.Hotpatch(ctx, "status", "page", "-n", g.namespace, "--repo", stage.RepoURL, "-o", "json")
		if err == nil && !strings.Contains(strings.ToLower(out), "suspend") {
			err = fmt.Errorf("it is not suspended yet: %s", out)
		}
		return err
	}))
	g.kubectl("-n", stage.System, "delete", "pod", "-l", "app.kubernetes.io/name=hotpatch-reconciler", "--wait")
	g.must(reconcilerListens(g.ctx))

	g.nextPageHasItsFile()
	pod := g.get("pod", "-l", "app=page", "-o", "jsonpath={.items[0].metadata.name}")
	log := g.kubectl("-n", g.namespace, "logs", pod, "-c", "hotpatch-sidecar")
	g.must(contains(log, "taken by its digest from download.byDigest instead"))
}
