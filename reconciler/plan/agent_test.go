package plan

import (
	"time"

	"hotpatch.dev/hotpatch/api"
)

// What sidecars and agents do in the dumb cluster.

// update has the sidecar put the files of a revision in place, and returns why
// it did not.
func (p *simPod) update(r Revision, now time.Time) string {
	for _, f := range r.Files {
		if p.hasFile(f) {
			continue
		}
		if p.refuse != "" {
			return p.refuse
		}
		p.Files.Files = []api.ObservedFile{{Path: f.Path, Version: f.Version, SHA256: f.SHA256, State: api.FileUpdated, Time: now}}
		p.moved = now
		if p.files = f.Version; len(r.Containers) == 0 {
			p.at = r.ID
		}
	}
	return ""
}

// work has a pod's agent do all that is asked of it, and say what it saw.
func (c *cluster) work(p *simPod) {
	if p.Node == "" || p.Gone {
		return
	}
	p.Observed.Prepared = nil
	for _, want := range p.Prepare.Containers {
		p.Observed.Prepared = append(p.Observed.Prepared, c.pull(p.Node, want))
	}
	if p.Desired.Revision == "" {
		return
	}
	before := p.Observed.Containers
	p.Observed.Revision, p.Observed.Containers = p.Desired.Revision, nil
	for _, want := range p.Desired.Containers {
		p.Observed.Containers = append(p.Observed.Containers, c.since(before, c.swap(p, want)))
	}
	if len(before) == 0 && p.born != "" {
		p.moved = c.now // what was started so is proven from when it is seen
	}
	p.Touched = p.Touched || p.at == p.Desired.Revision // then there is a label
}

// since gives what was seen the time at which it was first so.
func (c *cluster) since(before []api.ObservedContainer, is api.ObservedContainer) api.ObservedContainer {
	is.Time = c.now
	for _, was := range before {
		is.Time = was.Time
		if was != is {
			is.Time = c.now
		}
	}
	return is
}

func (c *cluster) pull(node string, want api.DesiredContainer) api.PreparedImage {
	is := api.PreparedImage{Container: want.Name, Image: want.Image, State: api.StateReady}
	if c.unknown[want.Image] {
		is.State, is.Message = api.StateFailed, want.Image+": not found"
		return is
	}
	c.pulled[node+" "+want.Image] = true
	return is
}

func (c *cluster) swap(p *simPod, want api.DesiredContainer) api.ObservedContainer {
	is := api.ObservedContainer{Name: want.Name, ContainerID: p.ContainerIDs[want.Name], Image: want.Image, State: api.StatePatched}
	there := p.at == p.Desired.Revision
	if !there && is.ContainerID != "" {
		p.moved = c.now
	}
	p.at = p.Desired.Revision
	switch {
	case p.fail != "" && !there && (p.failOn == "" || p.failOn == p.Desired.Revision):
		is.State, is.Message, p.at = api.StateFailed, p.fail, ""
	case is.ContainerID == "":
		is.State, is.Message, p.at = api.StateFailed, "does not run", ""
	case want.Image == "":
		is.State, is.Image = api.StateRestored, "game:own"
	case want.Reload != nil:
		is.State = api.StateReloaded
	}
	return is
}
