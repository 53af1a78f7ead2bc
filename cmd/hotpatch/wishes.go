package main

import (
	"context"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// wished is what one HotPatch asks for, by digest, with what is recorded of it.
type wished struct {
	render.Item
	known       api.HotPatchStatus
	revision    plan.Revision
	suspendedBy string
	err         error // why the digests are not known
}

// wishes are those of a repository, by HotPatch.
type wishes map[string]*wished

func (p *pins) wishes(ctx context.Context, found render.Result, records []api.HotPatchStatus) wishes {
	all := wishes{}
	for _, item := range found.Items {
		w := &wished{Item: item, known: recordOf(records, item.HotPatch), suspendedBy: suspendedBy(found, item.HotPatch.Metadata.Namespace)}
		files := pinFiles(item)
		var containers []api.DesiredContainer
		containers, w.err = p.pin(ctx, item, w.known)
		w.revision = plan.Revision{ID: api.Revision(containers, files), Containers: containers, Files: files}
		all[item.HotPatch.Key()] = w
	}
	return all
}

// behind are the HotPatches that one waits for.
func (all wishes) behind(h api.HotPatch) (names []string) {
	for _, key := range h.Dependencies() {
		w := all[key]
		if w == nil || w.err != nil || w.known.Phase != api.PhaseComplete || w.known.Revision != w.revision.ID {
			names = append(names, strings.TrimPrefix(key, h.Metadata.Namespace+"/"))
		}
	}
	return names
}

func suspendedBy(found render.Result, namespace string) string {
	var by []string
	for _, s := range found.Suspensions {
		if s.Over(namespace) {
			by = append(by, s.String())
		}
	}
	return strings.Join(by, ", ")
}
