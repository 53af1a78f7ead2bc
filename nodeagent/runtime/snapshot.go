package runtime

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	containerdmount "github.com/containerd/containerd/v2/core/mount"
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

// upperDir is the option of an overlay by which a root is recognised.
const upperDir = "upperdir"

// Root is a writable root on an image, pinned to its container.
type Root struct {
	Key        string
	Image      string // by digest
	Filesystem mount.Filesystem
}

// PrepareRoot makes a writable root on an image. It is pinned to the container
// before it is there, so that the garbage collector never finds it loose; labels
// are set with that, as each time costs a write to the disk.
func (r *Runtime) PrepareRoot(ctx context.Context, c Container, image Image, labels map[string]string) (Root, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	key := c.ID + "-hotpatch-" + random()
	pinned := map[string]string{pinLabel + key[len(key)-8:]: key}
	maps.Copy(pinned, labels)
	if err := r.SetLabels(ctx, c.ID, pinned); err != nil {
		return Root{}, err
	}
	mounts, err := r.client.SnapshotService(overlayfs).Prepare(ctx, key, image.Chain,
		snapshots.WithLabels(map[string]string{imageLabel: image.Ref}))
	if err != nil {
		return Root{}, fmt.Errorf("prepare a root of %s: %w", image.Ref, err)
	}
	root := Root{Key: key, Image: image.Ref}
	if root.Filesystem, err = single(key, mounts); err == nil {
		r.roots.Add(key, root)
	}
	return root, err
}

// RootAt is the root that has the given upper directory: one that we made, or
// the container's own, which has its snapshot's key and no image. An error says
// that it is neither.
func (r *Runtime) RootAt(ctx context.Context, c Container, upper string) (Root, error) {
	if upper == "" {
		return Root{}, fmt.Errorf("the root of container %s is not an overlay", c.ID)
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	own, err := r.Root(ctx, c.SnapshotKey)
	if err != nil || own.UpperDir() == upper {
		return own, err
	}
	for _, key := range pinned(c) {
		root, err := r.Root(ctx, key)
		if err == nil && root.UpperDir() == upper {
			return root, nil
		}
	}
	return Root{}, fmt.Errorf("the root of container %s (%s) is none that we know", c.ID, upper)
}

// Root is the root that a snapshot is.
func (r *Runtime) Root(ctx context.Context, key string) (root Root, err error) {
	if known, ok := r.roots.Get(key); ok {
		if root, ok = known.(Root); ok {
			return root, nil
		}
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	snapshots := r.client.SnapshotService(overlayfs)
	info, err := snapshots.Stat(ctx, key)
	if err != nil {
		return root, fmt.Errorf("look at snapshot %s: %w", key, err)
	}
	mounts, err := snapshots.Mounts(ctx, key)
	if err != nil {
		return root, fmt.Errorf("look at snapshot %s: %w", key, err)
	}
	root = Root{Key: key, Image: info.Labels[imageLabel]}
	if root.Filesystem, err = single(key, mounts); err == nil {
		r.roots.Add(key, root)
	}
	return root, err
}

func single(key string, mounts []containerdmount.Mount) (mount.Filesystem, error) {
	if len(mounts) != 1 {
		return mount.Filesystem{}, fmt.Errorf("look at snapshot %s: %d mounts instead of one", key, len(mounts))
	}
	m := mounts[0]
	return mount.Filesystem{Type: m.Type, Source: m.Source, Options: m.Options}, nil
}

// Unused are the container's roots that we made and that are not mounted in it:
// all but those with the given upper directories. One whose snapshot is gone has
// no file system.
func (r *Runtime) Unused(ctx context.Context, c Container, uppers []string) ([]Root, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	var unused []Root
	var errs []error
	for _, key := range pinned(c) {
		root, err := r.Root(ctx, key)
		switch {
		case err != nil && !errdefs.IsNotFound(err):
			errs = append(errs, err)
		case err != nil:
			unused = append(unused, Root{Key: key})
		case !slices.Contains(uppers, root.UpperDir()):
			unused = append(unused, root)
		}
	}
	return unused, errors.Join(errs...)
}

// UpperDir tells which overlay the root is.
func (r Root) UpperDir() string { return r.Filesystem.Option(upperDir) }

// Remove removes roots that we made for a container, and forgets them.
func (r *Runtime) Remove(ctx context.Context, c Container, roots []Root) error {
	ctx = namespaces.WithNamespace(ctx, namespace)
	var errs []error
	for _, root := range roots {
		key := root.Key
		r.roots.Remove(key)
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
