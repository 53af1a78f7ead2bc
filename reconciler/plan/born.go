package plan

import (
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// StateBorn is that of a pod which was started on the revision's images.
const StateBorn = "Born"

// born tells whether a pod was started on the images of a revision: kubelet read
// their digests off the node when it did. That holds until an agent has been at
// the containers; from then on only what the agent saw counts.
func (p Pod) born(r Revision) bool {
	return !p.Touched && p.Observed.Revision == "" && len(p.Observed.Containers) == 0 && p.native(r)
}

// native tells whether a pod's own images are those of a revision, whatever has
// been done to it since it was started.
func (p Pod) native(r Revision) bool {
	return len(r.Containers) > 0 && !slices.ContainsFunc(r.Containers, func(want api.DesiredContainer) bool {
		own := digest(p.OwnImages[want.Name])
		return own == "" || own != digest(want.Image) || p.ContainerIDs[want.Name] == ""
	})
}

// digest of an image that is named by it. Names do not count: two registries may
// hold the same image, and one name may mean two.
func digest(image string) string { return image[strings.LastIndexByte(image, '@')+1:] }
