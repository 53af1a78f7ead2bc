package sidecar

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotpatch.dev/hotpatch/sidecar/kube"
)

func TestSeedConfig(t *testing.T) {
	c, warnings, err := ParseConfig([]byte(seedConfig(t)))
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	h, err := c.hotUpdate()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSignaller(h.Signal)
	if err != nil || s.name != "nginx: master process nginx" || s.signal != unix.SIGHUP || s.wait != 5*time.Second {
		t.Errorf("signal %+v, %v", s, err)
	}
	if h.StorageConfig.InKube.AnnotationKey != annotationKey || h.StorageConfig.Type != "InKube" || c.Auth != nil {
		t.Errorf("storage %+v, auth %+v", h.StorageConfig, c.Auth)
	}
	if m := h.StorageConfig.InKube.configMap("default"); m.String() != "kube-system/sidecar-result" {
		t.Errorf("ConfigMap %s", m)
	}
}

func TestConfigMapNames(t *testing.T) {
	for text, want := range map[string]kube.ConfigMap{
		"":       {Namespace: "kube-system", Name: "sidecar-result"},
		"mine":   {Namespace: "games", Name: "mine"},
		"a/mine": {Namespace: "a", Name: "mine"},
	} {
		if got := (InKube{ConfigMap: text}).configMap("games"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestUnknownKeysWarn(t *testing.T) {
	_, warnings, err := ParseConfig([]byte("plugins: [{name: hot_update, config: {loadPatchTyp: signal}}, {name: http_probe}]\nfoo: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{"loadPatchTyp", "foo", "http_probe"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning of %s in:\n%s", want, all)
		}
	}
}

// A config that cannot work ends the start with words that say what to do.
func TestConfigErrors(t *testing.T) {
	seed := seedConfig(t)
	for _, c := range []struct{ old, new, want string }{
		{"name: hot_update", "name: http_probe", "plugins: none is named hot_update"},
		{"loadPatchType: signal", "loadPatchType: exec", `loadPatchType "exec" is not offered`},
		{"loadPatchType: signal", "loadPatchType: request", "request.port: want the port"},
		{"loadPatchType: signal", "loadPatchType: request\n        request: {port: 1, send: PING}", "send and expect go together"},
		{"loadPatchType: signal", "loadPatchType: request\n        request: {port: 1, path: reload}", "request.path: want a path"},
		{"loadPatchType: signal", "loadPatchType: signal\n        check: {}", "check: give either url or file"},
		{"loadPatchType: signal", "loadPatchType: signal\n        check: {file: /x}", "check.matches: say what"},
		{"loadPatchType: signal", "loadPatchType: signal\n        check: {file: /x, matches: (}", "check.matches: "},
		{"'nginx: master process nginx'", "''", "signal.processName is missing"},
		{"signalName: SIGHUP", "signalName: SIGHANGUP", "signal.signalName: no signal is named"},
		{"signalName: SIGHUP", "signalName: SIGHUP\n            wait: 2h", "signal.wait: want up to 1m0s"},
		{"restartpolicy: Always", "download: {maxBytes: -1}", "download.maxBytes: want a number of bytes"},
		{"restartpolicy: Always", "download: {timeout: soon}", "download.timeout: want a time"},
		{"restartpolicy: Always", "download: {allowAddresses: [localhost]}", "download.allowAddresses: want an address"},
		{"restartpolicy: Always", "restore: {hold: 2h}", "restore.hold: want 0s to 10m0s"},
		{"restartpolicy: Always", "download: {byDigest: 'ftp://x'}", "download.byDigest: "},
		{"restartpolicy: Always", "download: {byDigestTokenFile: /token}", "download.byDigestTokenFile: is for download.byDigest"},
		{"annotationKey:", "layout: Pods\n                annotationKey:", "inKube.layout: want Versions or Workloads"},
		{"restartpolicy: Always", "auth: {}", "auth: give one of tokenReview, bearerTokenFile and clientCertificate"},
		{"restartpolicy: Always", "auth: {clientCertificate: {allowedNames: [a]}}", "auth.clientCertificate: needs tls.clientCAFile"},
		{"restartpolicy: Always", "tls: {certFile: /nowhere}", "tls: give certFile and keyFile"},
		{"restartpolicy: Always", "tls: {certFile: /nowhere, keyFile: /nowhere}", "tls: open /nowhere"},
		{"restartpolicy: Always", "download: {allowURLs: [files.example]}", "download.allowURLs: want a URL"},
		{"restartpolicy: Always", "auth: {tokenReview: {}}", "allowedServiceAccounts is empty"},
		{"restartpolicy: Always", "auth: {tokenReview: {allowedServiceAccounts: [x]}}", "want namespace:name"},
	} {
		api := startAPI(t)
		doc := strings.Replace(seed, c.old, c.new, 1)
		if doc == seed {
			t.Fatalf("%q does not stand in the seed's config", c.old)
		}
		config, _, err := ParseConfig([]byte(doc))
		if err == nil {
			o := Options{Dir: t.TempDir(), Pod: kube.Pod{Namespace: "n", Name: "p"}, ServiceAccountDir: api.account}
			_, err = assemble(t.Context(), o, config)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s → %s: got %v; want …%s", c.old, c.new, err, c.want)
		}
	}
	if _, _, err := ReadConfig("/nowhere/a.yaml", "/nowhere/b.yaml"); err == nil || !strings.Contains(err.Error(), "none of /nowhere/a.yaml, /nowhere/b.yaml exists") {
		t.Error(err)
	}
}
