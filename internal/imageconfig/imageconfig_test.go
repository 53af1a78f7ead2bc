package imageconfig

import (
	"fmt"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestIgnoredNamesWhatDiffers(t *testing.T) {
	own := v1.ImageConfig{Env: []string{"PATH=/bin", "TOKEN=secret-old", "GONE=1"}, Entrypoint: []string{"/game"}, Cmd: []string{"run"}, User: "1000"}
	for name, c := range map[string]struct {
		change func(*v1.ImageConfig)
		want   string
	}{
		"nothing":          {func(c *v1.ImageConfig) {}, ""},
		"another order":    {func(c *v1.ImageConfig) { c.Env = []string{"GONE=1", "TOKEN=secret-old", "PATH=/bin"} }, ""},
		"the same, put so": {func(c *v1.ImageConfig) { c.WorkingDir = "/" }, ""},
		"variables": {func(c *v1.ImageConfig) { c.Env = []string{"PATH=/bin", "TOKEN=secret-new", "NEW=1"} },
			"environment GONE NEW TOKEN"},
		"how it starts": {func(c *v1.ImageConfig) { c.Entrypoint, c.Cmd = []string{"/other"}, nil }, "entrypoint, command"},
		"who and where": {func(c *v1.ImageConfig) { c.User, c.WorkingDir = "", "/app" },
			`user "" (stays "1000"), working directory /app (stays /)`},
		"volumes and ports": {func(c *v1.ImageConfig) {
			c.Volumes, c.ExposedPorts = map[string]struct{}{"/data": {}}, map[string]struct{}{"80/tcp": {}, "443/tcp": {}}
		}, "volumes /data, ports 443/tcp 80/tcp"},
		"how it ends": {func(c *v1.ImageConfig) { c.StopSignal = "SIGQUIT" }, "stop signal"},
	} {
		next := own
		c.change(&next)
		got := Ignored(own, next)
		if got != c.want || strings.Contains(got, "secret") {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestIgnoredIsBounded(t *testing.T) {
	var next v1.ImageConfig
	for i := range 500 {
		next.Env = append(next.Env, fmt.Sprintf("V%03d=x", i))
	}
	if got := Ignored(v1.ImageConfig{}, next); !strings.HasSuffix(got, "V007 and 492 more") {
		t.Error(got)
	}
}

func TestRunsOn(t *testing.T) {
	for _, c := range []struct {
		os, arch string
		runs     bool
	}{{"linux", "amd64", true}, {"", "", true}, {"linux", "arm64", false}, {"windows", "amd64", false}} {
		why := RunsOn(v1.Platform{OS: c.os, Architecture: c.arch}, "linux", "amd64")
		if (why == "") != c.runs {
			t.Errorf("%s/%s: %q", c.os, c.arch, why)
		}
	}
}
