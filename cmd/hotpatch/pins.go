package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/registry"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// pins turns what Git asks for into what pods are asked for: by digest.
type pins struct {
	resolver registry.Resolver
	// aliases are addresses of registries, by their names in the cluster.
	aliases map[string]string
}

// pin takes over the digests of a revision that is recorded for the same
// images, as the reconciler does, and asks the registry for others.
func (p *pins) pin(ctx context.Context, item render.Item, known api.HotPatchStatus) ([]api.DesiredContainer, error) {
	var pinned []api.DesiredContainer
	for i, c := range item.HotPatch.Spec.Containers {
		image, err := recorded(known, c), error(nil)
		if image == "" {
			image, err = p.digest(ctx, c.Image)
		}
		if err != nil {
			return nil, &api.Error{File: item.File, Object: "HotPatch " + item.HotPatch.Key(), Field: fmt.Sprintf("spec.containers[%d].image", i), Reason: err.Error()}
		}
		pinned = append(pinned, api.DesiredContainer{Name: c.Name, Image: image, Carry: c.Carry, Reload: c.Reload})
	}
	return pinned, nil
}

func recorded(known api.HotPatchStatus, c api.Container) string {
	i := slices.IndexFunc(known.Containers, func(d api.DesiredContainer) bool { return d.Name == c.Name })
	if i < 0 || known.Images[c.Name] != c.Image {
		return ""
	}
	return known.Containers[i].Image
}

// digest asks a registry, under its alias if it has one.
func (p *pins) digest(ctx context.Context, image string) (string, error) {
	for name, address := range p.aliases {
		rest, ok := strings.CutPrefix(image, name+"/")
		if !ok {
			continue
		}
		found, err := p.resolver.Digest(ctx, address+"/"+rest)
		return name + strings.TrimPrefix(found, address), err
	}
	return p.resolver.Digest(ctx, image)
}

// pinFiles are the wanted files by digest. URLs are where the reconciler serves
// them, and no part of what is wanted.
func pinFiles(item render.Item) []api.DesiredFile {
	var files []api.DesiredFile
	for _, f := range item.HotPatch.Spec.Files {
		file := api.DesiredFile{Path: f.Path, Version: f.Version, SHA256: f.SHA256, URL: f.URL}
		if content, ok := item.Files[f.Path]; ok {
			file.SHA256 = content.SHA256
		}
		files = append(files, file)
	}
	return files
}
