package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/imageconfig"
	"hotpatch.dev/hotpatch/reconciler/plan"
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
		image, err := known.Pinned(c), error(nil)
		if image == "" {
			image, err = p.digest(ctx, c.Image)
		}
		if err != nil {
			return nil, &api.Error{File: item.File, Object: "HotPatch " + item.HotPatch.Key(), Field: fmt.Sprintf("spec.containers[%d].image", i), Reason: err.Error()}
		}
		pinned = append(pinned, c.Pinned(image))
	}
	return pinned, nil
}

// digest asks a registry, under its alias if it has one.
func (p *pins) digest(ctx context.Context, image string) (string, error) {
	there, back := p.alias(image)
	found, err := p.resolver.Digest(ctx, there)
	return back(found), err
}

// alias is an image under the address that its registry has here, and the way
// back to the cluster's name.
func (p *pins) alias(image string) (there string, back func(string) string) {
	for name, address := range p.aliases {
		if rest, ok := strings.CutPrefix(image, name+"/"); ok {
			return address + "/" + rest, func(found string) string { return name + strings.TrimPrefix(found, address) }
		}
	}
	return image, func(found string) string { return found }
}

// ignored names what running containers will not take of their new images; of those
// that say so, by container, that is a refusal.
func (p *pins) ignored(ctx context.Context, containers []api.DesiredContainer, pods []plan.Pod) (warnings []string, refusals map[string]string) {
	said := map[string]bool{}
	refusals = map[string]string{}
	for _, c := range containers {
		owns := map[string]bool{}
		for _, pod := range pods {
			owns[pod.OwnImages[c.Name]] = true
		}
		delete(owns, "")
		delete(owns, c.Image)
		for own := range owns {
			if words, refuses := p.compare(ctx, own, c); refuses {
				refusals[c.Name] = words
			} else if words != "" {
				said[words] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(said)), refusals
}

// compare is a warning about one container with one own image, "" for none, and
// whether it is more than that.
func (p *pins) compare(ctx context.Context, own string, c api.DesiredContainer) (words string, refuses bool) {
	var configs []v1.ImageConfig
	for _, image := range []string{own, c.Image} {
		there, _ := p.alias(image)
		config, err := p.resolver.Config(ctx, there)
		if err != nil {
			return fmt.Sprintf("container %s: what it will not take of the new image's configuration is not known: %v", c.Name, err), false
		}
		configs = append(configs, config)
	}
	ignored := imageconfig.Ignored(configs[0], configs[1])
	switch {
	case ignored == "":
		return "", false
	case c.ImageConfig == api.ImageConfigRefuse:
		return fmt.Sprintf("container %s will be left alone: it would run on without the new image's %s, and imageConfig is Refuse", c.Name, ignored), true
	}
	return fmt.Sprintf("container %s runs on without the new image's %s", c.Name, ignored), false
}

// pinFiles are the wanted files by digest. URLs are where the reconciler serves
// them, and no part of what is wanted.
func pinFiles(item render.Item) []api.DesiredFile {
	var files []api.DesiredFile
	for _, f := range item.HotPatch.Spec.Files {
		file := api.DesiredFile{Path: f.Path, Version: f.Version, SHA256: f.SHA256, URL: f.URL, Extract: f.Extract}
		if content, ok := item.Files[f.Path]; ok {
			file.SHA256, file.Extract = content.SHA256, f.Extract || content.Dir
		}
		files = append(files, file)
	}
	return files
}
