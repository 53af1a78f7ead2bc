package nodeagent

import (
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/mount"
	"hotpatch.dev/hotpatch/nodeagent/runtime"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

func TestOnlyRootsThatNobodyHoldsAreFree(t *testing.T) {
	now := time.Now()
	var d devices
	for upper, device := range map[string]uint64{"/a": 1, "/b": 2} {
		d.saw("c", swap.View{UpperDir: upper, Device: device}, now)
	}
	for _, tt := range []struct {
		held []uint64
		free string
	}{
		{held: nil, free: "a b gone stranger"},
		{held: []uint64{1}, free: "b gone stranger"},
		{held: []uint64{1, 2}, free: "gone stranger"},
		{held: []uint64{3}, free: "a b gone"},
		{held: []uint64{1, 3}, free: "b gone"},
	} {
		var keys []string
		for _, root := range free(leftRoots("a", "b", "gone", "stranger"), tt.held, d.of("c")) {
			keys = append(keys, root.Key)
		}
		if got := strings.Join(keys, " "); got != tt.free {
			t.Errorf("held %v: %q is free, want %q", tt.held, got, tt.free)
		}
	}
}

func leftRoots(keys ...string) (all []runtime.Root) {
	for _, key := range keys {
		root := runtime.Root{Key: key}
		if key != "gone" { // its snapshot is
			root.Filesystem = mount.Filesystem{Options: []string{"upperdir=/" + key}}
		}
		all = append(all, root)
	}
	return all
}

func TestDevicesOfRootsThatAreGoneAreForgotten(t *testing.T) {
	now := time.Now()
	var d devices
	d.saw("c", swap.View{UpperDir: "/a", Device: 1}, now)
	d.saw("c", swap.View{UpperDir: "/b", Device: 2}, now)
	d.forget("c", leftRoots("a", "gone"))
	d.forget("unknown", leftRoots("a"))
	if known := d.of("c"); len(known) != 1 || known["/b"] != 2 {
		t.Errorf("known are %v", known)
	}
	d.saw("other", swap.View{UpperDir: "/a", Device: 3}, now.Add(2*time.Hour))
	if known := d.of("c"); known != nil || d.of("other")["/a"] != 3 {
		t.Errorf("after two hours the container that is gone has %v, the other %v", known, d.of("other"))
	}
}
