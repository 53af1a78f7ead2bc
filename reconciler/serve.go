package reconciler

import (
	"context"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// publishFiles serves the repository's files that some HotPatch wants, has in
// force, or may go back to. What an older commit brought is kept for as long as
// one of them refers to it.
func (l *loop) publishFiles(ctx context.Context) {
	old, next := l.files.get(), map[string][]byte{}
	keep := func(files []api.DesiredFile) {
		for _, f := range files {
			if content, ok := old[f.SHA256]; ok {
				next[f.SHA256] = content
			}
		}
	}
	for _, t := range l.tracked {
		if t.accepted != nil {
			keep(t.accepted.revision.Files)
		}
		if t.record.Stable != nil {
			keep(t.record.Stable.Files)
		}
		if t.wanted != nil {
			l.load(ctx, t.wanted, old, next)
		}
	}
	l.files.publish(next)
}

// load reads the files of a wish from its commit.
func (l *loop) load(ctx context.Context, w *wanted, old, next map[string][]byte) {
	for _, c := range w.Files {
		if content, ok := old[c.SHA256]; ok {
			next[c.SHA256] = content
			continue
		}
		content, err := render.Read(tree{l.known.snapshot}, c)
		if err != nil {
			logging.From(ctx).WithError(err).Errorf("file %s of the repository cannot be served", c.RepoPath)
			continue
		}
		next[c.SHA256] = content
	}
}
