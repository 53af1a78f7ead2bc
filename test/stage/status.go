package stage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// Files of the examples, in the repository, that people change to release.
const (
	Images = "hot-patch/hotpatch/kustomization.yaml"
	Policy = "hot-patch/hotpatch/game-server.yaml"
	Page   = "hot-update/hotpatch/files/index.html"
	Filing = "hot-update/hotpatch/hot-update.yaml"
)

// Settled waits until the record of a HotPatch says that so many of so many pods
// are on what the clone asks for, and returns the record. Its commit is not
// asked: one that changes nothing for a HotPatch is no news to its record.
func (s *Stage) Settled(ctx context.Context, r *Repo, name string, phase api.Phase, updated, total int, limit time.Duration) (api.HotPatchStatus, error) {
	var status api.HotPatchStatus
	wish, err := r.wish(name)
	if err != nil {
		return status, err
	}
	return status, Eventually(ctx, limit, func(ctx context.Context) (err error) {
		if status, err = r.Status(ctx, name); err != nil {
			return err
		}
		if status.Phase == phase && status.Counts.Updated == updated && status.Counts.Total == total && recorded(status) == wish {
			return nil
		}
		return fmt.Errorf("the record of %s says %s, %d of %d on %s (%s); want %s, %d of %d on %s", name,
			status.Phase, status.Counts.Updated, status.Counts.Total, recorded(status), status.Message, phase, updated, total, wish)
	})
}

// recorded is what a record is about: an image's tag, or a file's version and
// digest.
func recorded(status api.HotPatchStatus) string {
	for _, f := range status.Files {
		return f.Version + " " + f.SHA256
	}
	image := status.Images["main"]
	return image[strings.LastIndexByte(image, ':')+1:]
}

// wish is the same of what the clone asks for.
func (r *Repo) wish(name string) (string, error) {
	if name == "game-server" {
		return r.value(Images, "newTag: ")
	}
	page, err := os.ReadFile(filepath.Join(r.Dir, Page))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(page)
	version, err := r.value(Filing, "version: ")
	return version + " " + hex.EncodeToString(sum[:]), err
}

func (r *Repo) value(file, key string) (string, error) {
	content, err := os.ReadFile(filepath.Join(r.Dir, file))
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(content), key)
	value, _, _ := strings.Cut(rest, "\n")
	if !ok {
		return "", fmt.Errorf("%s has no %q", file, key)
	}
	return strings.TrimSpace(value), nil
}
