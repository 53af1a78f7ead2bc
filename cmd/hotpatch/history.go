package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
)

// trail is where to find what was recorded of one HotPatch.
type trail struct {
	record
	name string
}

func trailFlags(flags *pflag.FlagSet) *trail {
	r := &trail{record: record{auth: authFlags(flags)}}
	flags.StringVar(&r.repo, "repo", cmp.Or(os.Getenv("HOTPATCH_REPO"), "."), "")
	flags.StringVar(&r.branch, "branch", "hotpatch-status", "")
	flags.StringVar(&r.cluster, "cluster", "", "")
	flags.StringVarP(&r.namespace, "namespace", "n", "", "")
	return r
}

// open reads nothing yet.
func (r *trail) open(ctx context.Context) (*gitsource.Source, error) {
	url, err := repositoryURL(ctx, r.repo)
	if err != nil {
		return nil, err
	}
	return gitsource.NewSource(gitsource.Options{URL: url, Branch: r.branch, Auth: *r.auth, Timeout: gitTimeout})
}

// in finds the one record of the HotPatch in a commit of the status branch.
func (r *trail) in(snapshot *gitsource.Snapshot) (st api.HotPatchStatus, err error) {
	found, err := snapshot.Files("clusters")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return st, err
	}
	files := map[string][]byte{}
	for _, f := range found {
		if path.Base(f.Path) != r.name+".yaml" || f.Kind != gitsource.Regular {
			continue
		}
		if files[f.Path], err = snapshot.Read(f.Path); err != nil {
			return st, err
		}
	}
	statuses, err := r.decode(files)
	switch {
	case err != nil:
		return st, err
	case len(statuses) == 0:
		return st, noSuchRecord([]string{r.name})
	case len(statuses) > 1:
		return st, severalRecords(r.name, statuses)
	}
	return statuses[0], nil
}

func recordFile(st api.HotPatchStatus) string {
	return path.Join("clusters", st.Cluster, st.Metadata.Namespace, st.Metadata.Name+".yaml")
}

// deepest is how many commits of the status branch are fetched for a history.
const deepest = 1000

// history shows what was observed of a HotPatch, when, and which commit asked for
// it.
func history(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("history", pflag.ContinueOnError)
	r := trailFlags(flags)
	limit := flags.Int("limit", 20, "")
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	if r.name = flags.Arg(0); r.name == "" {
		return misuse{"which HotPatch?", "history"}
	}
	source, err := r.open(ctx)
	if err != nil {
		return err
	}
	newest, err := source.Newer(ctx, "")
	if err != nil {
		return err
	}
	st, err := r.in(newest)
	if err != nil {
		return err
	}
	past, err := source.History(ctx, recordFile(st), deepest)
	if err != nil {
		return err
	}
	t := table{{"WHEN", "ASKED_BY", "REVISION", "PHASE", "OBSERVED"}}
	for _, p := range past[:max(0, min(*limit, len(past)))] {
		was, _ := statusIn(p, recordFile(st)) // taken out, or edited by hand: its subject is there
		t = append(t, []string{p.Time.UTC().Format("2006-01-02 15:04:05Z"), cmp.Or(short(was.Source.Commit), "-"), cmp.Or(was.Revision, "-"), cmp.Or(string(was.Phase), "-"), p.Subject})
	}
	return t.print(s.Out)
}

func short(commit string) string { return commit[:min(12, len(commit))] }

func statusIn(p *gitsource.Snapshot, file string) (api.HotPatchStatus, error) {
	content, err := p.Read(file)
	if err != nil {
		return api.HotPatchStatus{}, err
	}
	return api.DecodeStatus(file, content)
}
