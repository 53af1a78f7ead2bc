// Package registry turns image tags into digests, and reads what images say of
// how they are run.
//
// It promises an answer within Timeout, in the form that nodes pull
// ("repo@sha256:…"), and errors that name the image and say what to do. An
// image given by digest is never looked up.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrMissing: the registry answers, and does not have the image.
var ErrMissing = errors.New("does not exist")

// Timeout bounds one look-up.
const Timeout = 10 * time.Second

// Resolver asks registries. Credentials come from a Docker config file, as
// DOCKER_CONFIG or the home directory names it.
type Resolver struct {
	// Insecure lists registries ("host:port") that speak plain HTTP.
	Insecure []string
}

// Digest is the image by digest. A tag means what the registry says now.
func (r *Resolver) Digest(ctx context.Context, image string) (string, error) {
	ref, err := r.parse(image)
	if err != nil {
		return "", fmt.Errorf("image %q is not a valid reference: %w", image, err)
	}
	if digest, ok := ref.(name.Digest); ok {
		return pinned(ref, digest.DigestStr()), nil
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	hash, err := head(ctx, ref)
	if err != nil {
		return "", describe(image, ref, err)
	}
	return pinned(ref, hash.String()), nil
}

// Config is the configuration of an image, of its Linux variant for amd64 where it
// has several.
func (r *Resolver) Config(ctx context.Context, image string) (ocispec.ImageConfig, error) {
	ref, err := r.parse(image)
	if err != nil {
		return ocispec.ImageConfig{}, fmt.Errorf("image %q is not a valid reference: %w", image, err)
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	found, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return ocispec.ImageConfig{}, describe(image, ref, err)
	}
	raw, err := found.RawConfigFile()
	if err != nil {
		return ocispec.ImageConfig{}, describe(image, ref, err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return ocispec.ImageConfig{}, fmt.Errorf("image %s: its configuration cannot be read: %w", image, err)
	}
	return config.Config, nil
}

func (r *Resolver) parse(image string) (name.Reference, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, err
	}
	if slices.Contains(r.Insecure, ref.Context().RegistryStr()) {
		return name.ParseReference(image, name.Insecure)
	}
	return ref, nil
}

// head asks for the manifest's headers, or for the manifest where a registry
// does not answer HEAD with a digest.
func head(ctx context.Context, ref name.Reference) (v1.Hash, error) {
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if d, err := remote.Head(ref, options...); err == nil {
		return d.Digest, nil
	}
	d, err := remote.Get(ref, options...)
	if err != nil {
		return v1.Hash{}, err
	}
	return d.Digest, nil
}

// pinned names Docker Hub as nodes do, not by its API's host.
func pinned(ref name.Reference, digest string) string {
	repo := ref.Context().Name()
	if rest, ok := strings.CutPrefix(repo, name.DefaultRegistry+"/"); ok {
		repo = "docker.io/" + rest
	}
	return repo + "@" + digest
}

func describe(image string, ref name.Reference, err error) error {
	host := ref.Context().RegistryStr()
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("image %s: registry %s cannot be reached: %w", image, host, err)
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("image %s %w in registry %s; push it, or correct the name", image, ErrMissing, host)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("image %s: registry %s denies access (%d); give the reconciler credentials for it", image, host, answer.StatusCode)
	}
	return fmt.Errorf("image %s: registry %s answers %d %s", image, host, answer.StatusCode, http.StatusText(answer.StatusCode))
}
