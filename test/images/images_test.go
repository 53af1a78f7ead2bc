package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"

	"hotpatch.dev/hotpatch/test/rootfs"
)

// The same files give the same digest, whatever their times and whoever checked
// them out; any difference gives another.
func TestDigestIsOfContent(t *testing.T) {
	server := httptest.NewServer(registry.New())
	defer server.Close()
	tag := strings.TrimPrefix(server.URL, "http://") + "/game:v1"
	digest := func(content string, mode os.FileMode) string {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "version"), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		files := rootfs.Tree{}
		files.Dir("tmp", 0o1777)
		if err := files.CopyFrom(folder, "game"); err != nil {
			t.Fatal(err)
		}
		pushed, _, err := push(t.Context(), tag, contents{tree: files, entrypoint: []string{"/game/server"}})
		if err != nil {
			t.Fatal(err)
		}
		if there, err := crane.Digest(tag); err != nil || there != pushed.String() {
			t.Errorf("the registry has %s (%v), want %s", there, err, pushed)
		}
		return pushed.String()
	}
	first := digest("v1", 0o644)
	if digest("v1", 0o600) != first {
		t.Error("the umask changes the digest")
	}
	if digest("v2", 0o644) == first || digest("v1", 0o755) == first {
		t.Error("other content has the same digest")
	}
}

func TestOnlyKnownImages(t *testing.T) {
	err := run(t.Context(), "127.0.0.1:1", []string{"gmae-server"})
	if err == nil || !strings.Contains(err.Error(), "no image is called gmae-server") {
		t.Errorf("got %v", err)
	}
}
