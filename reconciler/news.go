package reconciler

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/internal/logging"
)

// change is the commit from what is written to the latest results, and what is
// written after it.
func (r *recorder) change(ctx context.Context, written map[string]api.HotPatchStatus, latest map[string]result) (gitsource.Change, map[string]api.HotPatchStatus, error) {
	change := gitsource.Change{Files: map[string][]byte{}}
	next := maps.Clone(written)
	var changed []News
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		now := latest[key]
		if before, ok := written[key]; ok && sameMeaning(before, now.status) {
			continue
		}
		content, err := api.EncodeStatus(now.status)
		if err != nil {
			return change, nil, err
		}
		change.Files[r.file(key)] = content
		next[key] = now.status
		changed = append(changed, news(now.status, now.subject, false))
	}
	for _, key := range slices.Sorted(maps.Keys(written)) {
		if _, ok := latest[key]; !ok {
			change.Files[r.file(key)] = nil
			delete(next, key)
			changed = append(changed, news(written[key], removed(written[key]), true))
		}
	}
	change.Restore = func() (map[string][]byte, error) { return r.encodeAll(next) }
	change.Subject, change.Body = r.words(ctx, changed)
	change.Trailers = r.trailers(changed)
	return change, next, nil
}

func news(s api.HotPatchStatus, words string, removed bool) News {
	return News{Namespace: s.Metadata.Namespace, Name: s.Metadata.Name, Words: words, Removed: removed, Status: s}
}

// words are the commit's subject and body, by the template if there is one. Results
// are committed whatever becomes of it.
func (r *recorder) words(ctx context.Context, changed []News) (subject, body string) {
	builtIn := message(r.cluster, changed)
	if r.template == nil || len(changed) == 0 {
		return builtIn.Subject, builtIn.Body
	}
	subject, body, err := r.template.words(ctx, builtIn)
	if err != nil {
		logging.From(ctx).WithError(err).Warn("the template of --message-template-file fails; this commit has the message that there is without it")
		return builtIn.Subject, builtIn.Body
	}
	return subject, body
}

// encodeAll are the files of all records.
func (r *recorder) encodeAll(records map[string]api.HotPatchStatus) (map[string][]byte, error) {
	files := map[string][]byte{}
	for key, record := range records {
		content, err := api.EncodeStatus(record)
		if err != nil {
			return nil, err
		}
		files[r.file(key)] = content
	}
	return files, nil
}

func removed(s api.HotPatchStatus) string {
	if backOnOwn(s) {
		return fmt.Sprintf("%s: removed from Git, its %d pods are back on their own images", s.Metadata.Name, s.Counts.Total)
	}
	return fmt.Sprintf("%s: removed from Git, its %d pods stay as they are", s.Metadata.Name, s.Counts.Total)
}

// words are a commit's subject and body of such lines.
func words(subjects []string) (subject, body string) {
	if all := strings.Join(subjects, "; "); len(all) <= maxSubject || len(subjects) == 1 {
		return all, ""
	}
	for _, s := range subjects {
		body += s + "\n"
	}
	return fmt.Sprintf("%d HotPatches changed", len(subjects)), body
}

func (r *recorder) trailers(changed []News) [][2]string {
	var trailers [][2]string
	add := func(key, value string) {
		if t := [2]string{key, value}; value != "" && !slices.Contains(trailers, t) {
			trailers = append(trailers, t)
		}
	}
	for _, c := range changed {
		add("Source-Commit", c.Status.Source.Commit)
	}
	for _, c := range changed {
		add("Revision", c.Status.Revision)
	}
	add("Cluster", r.cluster)
	return trailers
}

// withoutRows is what is said of the pods together.
func withoutRows(s api.HotPatchStatus) api.HotPatchStatus {
	s.Pods = nil
	return s
}

// sameMeaning compares what people would act on: that another commit asks for
// the same is no news.
func sameMeaning(a, b api.HotPatchStatus) bool {
	a.Source.Commit, a.Source.Author, a.Since = b.Source.Commit, b.Source.Author, b.Since
	if reflect.DeepEqual(a, b) { // of a thousand, nearly all are
		return true
	}
	x, errX := api.EncodeStatus(a)
	y, errY := api.EncodeStatus(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
