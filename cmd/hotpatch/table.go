package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"hotpatch.dev/hotpatch/api"
)

// table is rows below a row of headings.
type table [][]string

func (t table) print(w io.Writer) error {
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range t {
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	return columns.Flush()
}

// statusTable has the columns of BCS's GameDeployment. Cluster and namespace
// stand before them only where there are several.
func statusTable(statuses []api.HotPatchStatus, now time.Time) table {
	cluster := func(s api.HotPatchStatus) string { return s.Cluster }
	namespace := func(s api.HotPatchStatus) string { return s.Metadata.Namespace }
	t := table{{"NAME", "DESIRED", "UPDATED", "UPDATED_READY", "READY", "TOTAL", "AGE"}}
	for _, s := range statuses {
		row := []string{s.Metadata.Name}
		for _, n := range []int{s.Counts.Desired, s.Counts.Updated, s.Counts.UpdatedReady, s.Counts.Ready, s.Counts.Total} {
			row = append(row, strconv.Itoa(n))
		}
		t = append(t, append(row, age(s.Since, now)))
	}
	t.distinguish("NAMESPACE", statuses, namespace)
	t.distinguish("CLUSTER", statuses, cluster)
	return t
}

// distinguish puts a column first if its cells are not all the same.
func (t table) distinguish(heading string, statuses []api.HotPatchStatus, of func(api.HotPatchStatus) string) {
	differs := func(s api.HotPatchStatus) bool { return of(s) != of(statuses[0]) }
	if !slices.ContainsFunc(statuses, differs) {
		return
	}
	t[0] = append([]string{heading}, t[0]...)
	for i, s := range statuses {
		t[i+1] = append([]string{of(s)}, t[i+1]...)
	}
}

func age(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return duration.HumanDuration(now.Sub(since))
}

func podTable(s api.HotPatchStatus) table {
	t := table{{"POD", "NODE", "REVISION", "STATE", "READY", "MESSAGE"}}
	for _, p := range s.Pods {
		t = append(t, []string{p.Name, p.Node, p.Revision, p.State, strconv.FormatBool(p.Ready), cmp.Or(p.Message, p.Reason)})
	}
	return t
}
