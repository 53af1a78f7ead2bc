package runtime_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/client"

	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/runtime/runtimetest"
)

func TestFindIsTheRunningOne(t *testing.T) {
	spec := runtimetest.Spec{Image: game, Pod: "uid-find", Name: "main"}
	ended := node.Run(t, spec)
	if err := ended.Kill(); err != nil {
		t.Fatal(err)
	}
	for what, find := range map[string]func() error{
		"ended":        func() error { _, err := rt.Find(t.Context(), "uid-find", "main", ended.ID); return err },
		"ended, by ID": func() error { _, err := rt.Container(t.Context(), ended.ID); return err },
		"unknown":      func() error { _, err := rt.Container(t.Context(), "nobody"); return err },
		"no labels":    func() error { _, err := rt.Labels(t.Context(), "nobody"); return err },
		"to label": func() error {
			return rt.SetLabels(t.Context(), "nobody", map[string]string{"hotpatch.dev/x": "y"})
		},
	} {
		if err := find(); !errors.Is(err, runtime.ErrGone) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	restarted := node.Run(t, spec) // beside the ended one, as kubelet has it
	stranger := node.Run(t, runtimetest.Spec{Image: game, Pod: "uid-stranger", Name: "main"})
	for what, hint := range map[string]string{"no hint": "", "the one before": ended.ID, "itself": restarted.ID,
		"nobody's": "nobody", "another pod's": stranger.ID} {
		if c, err := rt.Find(t.Context(), "uid-find", "main", hint); err != nil || c.ID != restarted.ID || c.PID != restarted.PID {
			t.Errorf("hint is %s: found %+v, %v; want %s", what, c, err, restarted.ID)
		}
	}
	for _, other := range [][2]string{{"uid-find", "other"}, {"uid-other", "main"}} {
		if c, err := rt.Find(t.Context(), other[0], other[1], restarted.ID); !errors.Is(err, runtime.ErrGone) {
			t.Errorf("%v: found %+v, %v", other, c, err)
		}
	}
}

func TestContainerIsAsContainerdHasIt(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: game, Pod: "uid-is", Name: "main"})
	is := load(t, c)
	if is.PID != c.PID || is.SnapshotKey != c.ID || is.Parent != present(t, game).Chain || is.UserNamespace {
		t.Errorf("got %+v", is)
	}
	if !strings.Contains(strings.Join(is.Destinations, " "), "/share") {
		t.Errorf("/share is none of the destinations %v", is.Destinations)
	}
	shim, dir, err := is.OwnRoot()
	if mounts := node.Mounts(); err != nil || shim == c.PID || !slices.Contains(mounts, dir) {
		t.Errorf("the own root is said to be on %s of process %d, mounts are on %v: %v", dir, shim, mounts, err)
	}
}

func TestAnOwnRootThatIsNowhereIsAnError(t *testing.T) {
	for _, pid := range []int{os.Getpid(), -1} {
		_, _, err := runtime.Container{ID: "nobody", PID: pid}.OwnRoot()
		if err == nil || !strings.Contains(err.Error(), "container nobody") {
			t.Errorf("process %d: got %v", pid, err)
		}
	}
}

// Such containers are only described: they need not run to be refused.
func TestWhatHasNoRootOfOursIsRefused(t *testing.T) {
	for want, options := range map[string][]client.NewContainerOpts{
		"snapshotter native":        {client.WithSnapshotter("native"), client.WithRuntime("io.containerd.runc.v2", nil)},
		"io.containerd.kata.v2":     {client.WithSnapshotter("overlayfs"), client.WithRuntime("io.containerd.kata.v2", nil)},
		"runs on io.containerd.run": {client.WithSnapshotter("overlayfs"), client.WithRuntime("io.containerd.runsc.v1", nil)},
	} {
		created, err := node.Client.NewContainer(runtimetest.Context(), "refused", append(options, client.WithNewSpec())...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = rt.Container(t.Context(), "refused")
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, runtime.ErrGone) {
			t.Errorf("%s: got %v", want, err)
		}
		if err := created.Delete(runtimetest.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLabelsComeBack(t *testing.T) {
	c := node.Run(t, runtimetest.Spec{Image: game, Pod: "uid-labels", Name: "main", PodName: "game-1"})
	before := load(t, c).Labels
	for _, value := range []string{"first", "second", ""} {
		if err := rt.SetLabels(t.Context(), c.ID, map[string]string{"hotpatch.dev/test": value}); err != nil {
			t.Fatal(err)
		}
		labels, err := rt.Labels(t.Context(), c.ID)
		if err != nil || labels["hotpatch.dev/test"] != value || labels["io.kubernetes.pod.uid"] != "uid-labels" {
			t.Errorf("labels are %v, %v", labels, err)
		}
		if value == "" && len(labels) != len(before) {
			t.Errorf("labels before %v and after %v", before, labels)
		}
	}
	if owner, ok := rt.OwnerOf(t.Context(), c.ID); !ok || owner != (runtime.Owner{Pod: "default/game-1", UID: "uid-labels", Name: "main"}) {
		t.Errorf("the owner is %+v %v", owner, ok)
	}
	if err := rt.SetLabels(t.Context(), c.ID, map[string]string{"io.cri-containerd.kind": "sandbox"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{c.ID, "nobody"} {
		if owner, ok := rt.OwnerOf(t.Context(), id); ok {
			t.Errorf("%s is said to be of %+v", id, owner)
		}
	}
}
