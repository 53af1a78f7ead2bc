package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
)

// record is where results were committed to.
type record struct {
	repo, branch       string
	cluster, namespace string // "": all
	auth               *gitsource.Auth
}

// read returns what was recorded, by file name, which is by cluster, namespace
// and name. What cannot be read is in the error, and the rest is returned.
func (r record) read(ctx context.Context) ([]api.HotPatchStatus, error) {
	url, err := repositoryURL(ctx, r.repo)
	if err != nil {
		return nil, err
	}
	w, err := gitsource.NewWriter(gitsource.WriterOptions{Options: gitsource.Options{URL: url, Branch: r.branch, Auth: *r.auth, Timeout: gitTimeout}})
	if err != nil {
		return nil, err
	}
	files, err := w.Read(ctx, "clusters")
	if err != nil {
		return nil, err
	}
	return r.decode(files)
}

func (r record) decode(files map[string][]byte) ([]api.HotPatchStatus, error) {
	var out []api.HotPatchStatus
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		status, err := api.DecodeStatus(name, files[name])
		if err != nil {
			errs = append(errs, err)
		} else if r.wants(status) {
			out = append(out, status)
		}
	}
	return out, errors.Join(errs...)
}

func (r record) wants(s api.HotPatchStatus) bool {
	return (r.cluster == "" || r.cluster == s.Cluster) && (r.namespace == "" || r.namespace == s.Metadata.Namespace)
}
