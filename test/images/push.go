package main

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// push puts an image into a registry and says under which digest, and how many
// bytes its files are.
func push(ctx context.Context, tag string, c contents) (digest v1.Hash, size int, err error) {
	ref, err := name.NewTag(tag, name.Insecure)
	if err != nil {
		return digest, 0, err
	}
	archive, err := c.tree.Archive()
	if err != nil {
		return digest, 0, fmt.Errorf("%s: %w", tag, err)
	}
	image, err := assemble(archive, c)
	if err != nil {
		return digest, 0, fmt.Errorf("%s: %w", tag, err)
	}
	if err := remote.Write(ref, image, remote.WithContext(ctx)); err != nil {
		return digest, 0, fmt.Errorf("push %s (does the registry run? `make cluster` starts it): %w", tag, err)
	}
	digest, err = image.Digest()
	return digest, len(archive), err
}

// assemble makes an image of one layer. It is not compressed: the registry is
// on this machine, and compressing would take longer than all the rest.
func assemble(archive []byte, c contents) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.AppendLayers(base, static.NewLayer(archive, types.OCIUncompressedLayer))
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config = v1.Config{Entrypoint: c.entrypoint, Env: c.env, WorkingDir: "/"}
	return mutate.ConfigFile(image, file)
}
