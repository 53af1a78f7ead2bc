package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/internal/plain"
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
	format := flags.StringP("output", "o", "", "")
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	if r.name = flags.Arg(0); r.name == "" {
		return misuse{"which HotPatch?", "history"}
	}
	if *format != "" && *format != "json" {
		return misuse{fmt.Sprintf("output format %q: want json", *format), "history"}
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
	past = past[:max(0, min(*limit, len(past)))]
	if *format == "json" {
		return showEvents(s, past, recordFile(st))
	}
	t := table{{"WHEN", "RELEASED_BY", "COMMIT", "REVISION", "VERSION", "PHASE", "PODS", "OBSERVED"}}
	for _, p := range past {
		t = append(t, historyRow(p, recordFile(st)))
	}
	return t.print(s.Out)
}

// historyRow is what a commit says of the HotPatch itself: its subject may be of many.
func historyRow(p *gitsource.Snapshot, file string) []string {
	when := p.Time.UTC().Format("2006-01-02 15:04:05Z")
	was, err := statusIn(p, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []string{when, "-", "-", "-", "-", "-", "-", "no record: " + plain.Text(p.Subject, longest)}
	case err != nil: // edited by hand
		return []string{when, "-", "-", "-", "-", "-", "-", "unreadable: " + plain.Text(p.Subject, longest)}
	}
	row := []string{when, plain.Text(was.Source.Author, 30), short(was.Source.Commit), was.Revision, plain.Text(was.Version(), 30), string(was.Phase),
		fmt.Sprintf("%d/%d", was.Counts.Updated, was.Counts.Total), observed(was)}
	for i := range row {
		row[i] = cmp.Or(row[i], "-")
	}
	return row
}

// observed are a record's words, and who failed.
func observed(was api.HotPatchStatus) string {
	words := []string{plain.Text(was.Message, longest), failed(was)}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), "; ")
}

// mostFailed pods are named in one line, and longest is what it says besides, in bytes.
const (
	mostFailed = 3
	longest    = 300
)

// failed names the pods that did, "" if there are none.
func failed(st api.HotPatchStatus) string {
	var names []string
	for _, row := range st.Failures[:min(mostFailed, len(st.Failures))] {
		names = append(names, row.Name)
	}
	switch more := len(st.Failures) - len(names); {
	case len(names) == 0:
		return ""
	case more > 0:
		return fmt.Sprintf("failed: %s and %d more", strings.Join(names, ", "), more)
	}
	return "failed: " + strings.Join(names, ", ")
}

func short(commit string) string { return commit[:min(12, len(commit))] }

func statusIn(p *gitsource.Snapshot, file string) (api.HotPatchStatus, error) {
	content, err := p.Read(file)
	if err != nil {
		return api.HotPatchStatus{}, err
	}
	return api.DecodeStatus(file, content)
}
