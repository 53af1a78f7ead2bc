package gates

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// program is Debian's Prometheus. It is unpacked, not installed: with its package
// come a service and a dozen of libraries for its pages.
func program(t *testing.T) string {
	t.Helper()
	if installed, err := exec.LookPath("prometheus"); err == nil {
		return installed
	}
	cache, err := filepath.Abs("../../.cluster/debs")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := `set -e; mkdir -p "$0"; cd "$0"
ls prometheus_*.deb >/dev/null 2>&1 || apt-get -q -o APT::Sandbox::User=root download prometheus || { apt-get -q update; apt-get -q -o APT::Sandbox::User=root download prometheus; }
dpkg-deb -x prometheus_*.deb "$1"`
	if out, err := exec.Command("sh", "-c", script, cache, dir).CombinedOutput(); err != nil {
		t.Fatalf("get Debian's prometheus: %v\n%s", err, out)
	}
	return filepath.Join(dir, "usr/bin/prometheus")
}

// prometheus starts one that watches itself, and returns its address.
func prometheus(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := free.Addr().String()
	free.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: [{targets: ['%s']}]}]\n", host)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(program(t), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+host)
	var log strings.Builder
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	for range 300 {
		if answer, err := http.Get("http://" + host + "/-/ready"); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return "http://" + host
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = server.Process.Kill()
	_ = server.Wait()
	t.Fatalf("Prometheus does not become ready:\n%s", log.String())
	return ""
}

func TestPrometheusIsMeasured(t *testing.T) {
	address := prometheus(t)
	m := New(nil, loopback, "")
	measure := func(query, success string) Measured {
		a := api.Analysis{Prometheus: &api.PrometheusMeasure{Address: address, Query: query}, Success: success}
		return m.Measure(t.Context(), a, "default", Pod{Name: "game-0"})
	}
	for range 300 { // until it has seen itself
		if measure("up", "size(result) == 1").Outcome == Good {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for query, c := range map[string]struct {
		success string
		want    Outcome
		why     string
	}{
		`up{job="self"}`:                   {"result[0] == 1", Good, ""},
		`vector(0.25)`:                     {"result[0] < 0.05", Bad, "result[0] < 0.05 does not hold: it is 0.25"},
		`scalar(vector(0.01))`:             {"result < 0.05", Good, ""},
		`up{job="nobody"}`:                 {"result[0] < 0.05", Unclear, "index out of bounds"},
		`absent(up{pod="$(POD_NAME)"})`:    {"result[0] == 1", Good, ""},
		`vector(0) / 0`:                    {"result[0] < 0.05", Unclear, "NaN"},
		`vector(1) / 0`:                    {"result[0] < 0.05", Bad, "+Inf"},
		`rate(errors`:                      {"true", Unclear, "it answers 400: invalid parameter \"query\""},
		`up[1m]`:                           {"true", Unclear, "matrix"},
		`{__name__=~"prometheus_build.*"}`: {"size(result) == 1 && result[0] == 1.0", Good, ""},
	} {
		if got := measure(query, c.success); got.Outcome != c.want || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s: %d %q, want %d %q", query, got.Outcome, got.Why, c.want, c.why)
		}
	}
}

// What is not Prometheus says nothing of the revision.
func TestAnotherServerIsNoPrometheus(t *testing.T) {
	address, _ := served(t)
	for _, at := range []string{address, "http://127.0.0.1:1"} {
		a := api.Analysis{Prometheus: &api.PrometheusMeasure{Address: at, Query: "up"}, Success: "true"}
		if got := New(nil, loopback, "").Measure(t.Context(), a, "default", Pod{}); got.Outcome != Unclear || !strings.Contains(got.Why, "Prometheus") {
			t.Errorf("%s: %d %q", at, got.Outcome, got.Why)
		}
	}
}
