package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"

	"hotpatch.dev/hotpatch/nodeagent/mount"
)

// Labels of ours. The first makes containerd keep a snapshot as long as the
// container; its garbage collector knows no other way.
const (
	pinLabel   = "containerd.io/gc.ref.snapshot." + overlayfs + "/hotpatch-"
	imageLabel = "hotpatch.dev/image"
)

// Root is a writable root on an image, pinned to its container.
type Root struct {
	Key        string
	Image      string // by digest
	Filesystem mount.Filesystem
}

// PrepareRoot makes a writable root on an image. It is pinned to the container
// before it is there, so that the garbage collector never finds it loose.
func (r *Runtime) PrepareRoot(ctx context.Context, c Container, image Image) (Root, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	key := c.ID + "-hotpatch-" + random()
	if err := r.SetLabels(ctx, c.ID, map[string]string{pinLabel + key[len(key)-8:]: key}); err != nil {
		return Root{}, err
	}
	mounts, err := r.client.SnapshotService(overlayfs).Prepare(ctx, key, image.Chain,
		snapshots.WithLabels(map[string]string{imageLabel: image.Ref}))
	if err != nil {
		return Root{}, fmt.Errorf("prepare a root of %s: %w", image.Ref, err)
	}
	if len(mounts) != 1 {
		return Root{}, fmt.Errorf("prepare a root of %s: %d mounts instead of one", image.Ref, len(mounts))
	}
	m := mounts[0]
	return Root{Key: key, Image: image.Ref, Filesystem: mount.Filesystem{Type: m.Type, Source: m.Source, Options: m.Options}}, nil
}

// RootImage tells which root has the given upper directory: the image of one
// we made, own for the container's own. An error says that it is neither.
func (r *Runtime) RootImage(ctx context.Context, c Container, upper string) (image string, own bool, err error) {
	if upper == "" {
		return "", false, fmt.Errorf("the root of container %s is not an overlay", c.ID)
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	is, err := r.hasUpper(ctx, c.SnapshotKey, upper)
	if err != nil || is {
		return "", is, err
	}
	for _, key := range pinned(c) {
		is, err := r.hasUpper(ctx, key, upper)
		if err != nil || !is {
			continue
		}
		info, err := r.client.SnapshotService(overlayfs).Stat(ctx, key)
		return info.Labels[imageLabel], false, err
	}
	return "", false, fmt.Errorf("the root of container %s (%s) is none that we know", c.ID, upper)
}

func (r *Runtime) hasUpper(ctx context.Context, key string, uppers ...string) (bool, error) {
	mounts, err := r.client.SnapshotService(overlayfs).Mounts(ctx, key)
	if err != nil {
		return false, fmt.Errorf("look at snapshot %s: %w", key, err)
	}
	if len(mounts) != 1 {
		return false, fmt.Errorf("look at snapshot %s: %d mounts instead of one", key, len(mounts))
	}
	return slices.Contains(uppers, mount.Filesystem{Options: mounts[0].Options}.Option("upperdir")), nil
}

// Unused are the keys of the container's roots that we made and that are not
// mounted in it: all but those with the given upper directories.
func (r *Runtime) Unused(ctx context.Context, c Container, uppers []string) ([]string, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	var unused []string
	var errs []error
	for _, key := range pinned(c) {
		used, err := r.hasUpper(ctx, key, uppers...)
		switch {
		case err != nil && !errdefs.IsNotFound(err):
			errs = append(errs, err)
		case !used:
			unused = append(unused, key)
		}
	}
	return unused, errors.Join(errs...)
}

// Remove removes roots that we made for a container, and forgets them.
func (r *Runtime) Remove(ctx context.Context, c Container, keys []string) error {
	ctx = namespaces.WithNamespace(ctx, namespace)
	var errs []error
	for _, key := range keys {
		if err := r.client.SnapshotService(overlayfs).Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("remove old root %s: %w", key, err))
			continue
		}
		errs = append(errs, r.SetLabels(ctx, c.ID, map[string]string{pinLabel + key[len(key)-8:]: ""}))
	}
	return errors.Join(errs...)
}

// pinned are the keys of the roots that we made for a container.
func pinned(c Container) []string {
	var keys []string
	for label, key := range c.Labels {
		if strings.HasPrefix(label, pinLabel) && key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func random() string {
	b := make([]byte, 4)
	rand.Read(b)
	return hex.EncodeToString(b)
}
