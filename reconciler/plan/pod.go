package plan

import (
	"fmt"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// asked is the revision that the pod was told, whichever that is; zero: it never was.
func (p Pod) asked() Revision {
	return Revision{ID: p.Desired.Revision, Containers: p.Desired.Containers, Files: p.Desired.Files}
}

// on tells whether a pod was observed on a revision: by its node's agent for
// the containers that run now, by kubelet for those that were started on it, by
// its sidecar for the files.
func (p Pod) on(r Revision) bool {
	if p.born(r) {
		return p.hasFiles(r)
	}
	if len(r.Containers) > 0 && p.Observed.Revision != r.ID {
		return false
	}
	for _, want := range r.Containers {
		if !p.hasContainer(want) {
			return false
		}
	}
	return p.hasFiles(r)
}

func (p Pod) hasContainer(want api.DesiredContainer) bool {
	return slices.ContainsFunc(p.Observed.Containers, func(is api.ObservedContainer) bool {
		if is.Name != want.Name || !is.State.Done() || is.ContainerID != p.ContainerIDs[want.Name] {
			return false
		}
		return is.Image == want.Image || want.Image == "" && is.State == api.StateRestored
	})
}

// seenOn are the times at which the parts of a revision were seen in place.
func (p Pod) seenOn(r Revision) (times []time.Time) {
	for _, want := range r.Containers {
		for _, is := range p.Observed.Containers {
			if is.Name == want.Name {
				times = append(times, is.Time)
			}
		}
	}
	for _, want := range r.Files {
		for _, is := range p.Files.Files {
			if is.Path == want.Path {
				times = append(times, is.Time)
			}
		}
	}
	return times
}

func (p Pod) hasFiles(r Revision) bool {
	return !slices.ContainsFunc(r.Files, func(want api.DesiredFile) bool { return !p.hasFile(want) })
}

func (p Pod) hasFile(want api.DesiredFile) bool {
	return slices.ContainsFunc(p.Files.Files, func(is api.ObservedFile) bool {
		return is.Path == want.Path && is.Version == want.Version && is.SHA256 == want.SHA256 && is.State == api.FileUpdated
	})
}

// running tells whether there is something to change in the pod yet.
func (p Pod) running(r Revision) bool {
	if p.Node == "" || len(r.Files) > 0 && !p.Reachable {
		return false
	}
	for _, c := range r.Containers {
		if p.ContainerIDs[c.Name] == "" {
			return false
		}
	}
	return true
}

// failure is what failed at what the pod was asked for; "" if nothing did.
func (p Pod) failure() string {
	if p.Desired.Revision == "" {
		return ""
	}
	if p.Observed.Revision == p.Desired.Revision {
		for _, c := range p.Observed.Containers {
			if c.State == api.StateFailed {
				return fmt.Sprintf("container %s: %s", c.Name, c.Message)
			}
		}
	}
	for _, want := range p.Desired.Files {
		for _, is := range p.Files.Files {
			if is.Path == want.Path && is.Version == want.Version && is.State == api.FileFailed {
				return fmt.Sprintf("file %s: %s", is.Path, is.Message)
			}
		}
	}
	return ""
}
