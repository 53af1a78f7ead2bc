package plan

import "hotpatch.dev/hotpatch/api"

// shape is what the revisions of a scenario are made of.
type shape struct{ image, files bool }

// revision is one named like its version, so that people can read it.
func (s shape) revision(version string) Revision {
	r := Revision{ID: version}
	if s.image {
		r.Containers = []api.DesiredContainer{{Name: "main", Image: "game:" + version}}
	}
	if s.files {
		r.Files = []api.DesiredFile{{Path: "map.json", Version: version, SHA256: "sha-" + version}}
	}
	return r
}

func images(r Revision) (images []string) {
	for _, c := range r.Containers {
		if c.Image != "" {
			images = append(images, c.Image)
		}
	}
	return images
}
