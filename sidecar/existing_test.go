package sidecar

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// The existing sidecar's places, which its users' manifests have.
func TestPlaces(t *testing.T) {
	if want := []string{"/opt/sidecar/config.yaml", "/opt/kidecar/config.yaml"}; !slices.Equal(ConfigFiles, want) {
		t.Errorf("config files %v", ConfigFiles)
	}
	if got := (HotUpdate{}).dir(DefaultDir); got != "/app/downloads" {
		t.Errorf("files are in %s", got)
	}
}

// A shell that has the name among its arguments is not the process: the existing
// sidecar sent it the signal, it died, and its container restarted 35 times.
func TestWrapperIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	wrapper := exec.Command("sh", "-c", `echo $$ >"$2"; sleep 600 & wait`, "start", "exec "+w.game.name, pidFile)
	if err := wrapper.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- wrapper.Wait() }()
	t.Cleanup(func() { wrapper.Process.Kill() })
	eventually(t, "the wrapper runs", func() bool { _, err := os.Stat(pidFile); return err == nil })
	for _, v := range []string{"v1", "v2", "v3"} {
		w.mustPost(v, "/index.html")
	}
	if got := w.game.signals(); got != 3 {
		t.Errorf("%d signals", got)
	}
	select {
	case err := <-ended:
		t.Errorf("the wrapper has ended: %v", err)
	default:
	}
}

// A new pod takes nothing over from the existing sidecar's ConfigMap but its own key,
// whatever versions the others have there.
func TestNewPodLeavesOthersKeysAlone(t *testing.T) {
	w := newWorldWith(t, func(w *world) {
		w.api.configMaps["kube-system/sidecar-result"] = map[string]string{
			"default-game-1":   "hot_update:\n    OriginVersion: OriginUrl\n    v9: " + w.up.URL + "/v9/index.html\n",
			"default-game-0-x": "hot_update:\n    v8: " + w.up.URL + "/v8/index.html\n",
			"other-game-0":     "hot_update:\n    v7: " + w.up.URL + "/v7/index.html\n",
		}
	})
	eventually(t, "it has its key", func() bool { return w.api.key() == "hot_update:\n    OriginVersion: OriginUrl\n" })
	w.mustPost("v1", "/other.html")
	if _, err := os.Stat(filepath.Join(w.dir, "index.html")); err == nil || w.game.signals() != 1 {
		t.Errorf("it has another pod's file: %q", w.onDisk("index.html"))
	}
}

// Whoever may call is told of at the start where that is everyone.
func TestOpenSidecarWarns(t *testing.T) {
	for config, warns := range map[string]bool{"": true, "auth: {bearerTokenFile: /token}\n": false} {
		c, _, err := ParseConfig([]byte(seedConfig(t) + config))
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		log, err := logging.New(&said, "text", "info")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newAuthorizer(logging.Into(context.Background(), log), c, (*kube.Client)(nil)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(said.String(), "level=warning") && strings.Contains(said.String(), "ANYONE"); got != warns {
			t.Errorf("%q: it says %q", config, said.String())
		}
	}
}

// What we ship gives pods rights in their namespace alone, on four ConfigMaps by name;
// of the whole cluster only that their callers' tokens are reviewed.
func TestRightsAreOfTheNamespace(t *testing.T) {
	text, err := os.ReadFile("../manifests/components/sidecar/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, document := range strings.Split(string(text), "\n---\n") {
		var role struct {
			Kind  string
			Rules []struct{ Resources, Verbs, ResourceNames []string }
		}
		if err := yaml.Unmarshal([]byte(document), &role); err != nil {
			t.Fatal(err)
		}
		kinds[role.Kind]++
		for _, rule := range role.Rules {
			clusterWide := role.Kind == "ClusterRole"
			switch {
			case clusterWide && (!slices.Equal(rule.Resources, []string{"tokenreviews"}) || !slices.Equal(rule.Verbs, []string{"create"})):
				t.Errorf("cluster-wide: %+v", rule)
			case !clusterWide && slices.Contains(rule.Resources, "configmaps") && len(rule.ResourceNames) != shards:
				t.Errorf("ConfigMaps: %+v", rule)
			case !clusterWide && !slices.Equal(rule.Verbs, []string{"get", "patch"}):
				t.Errorf("more than get and patch: %+v", rule)
			}
		}
	}
	if kinds["Role"] != 1 || kinds["ClusterRole"] != 1 {
		t.Errorf("%v", kinds)
	}
}
