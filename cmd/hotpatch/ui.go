package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// Everything this program says to people stands in this file, and its pages in
// pages.go.

// printPage prints a page under the name that this program was called by.
func printPage(s Streams, page string) {
	program := s.Program
	if plugin, ok := strings.CutPrefix(program, "kubectl-"); ok {
		program = "kubectl " + plugin
	}
	fmt.Fprint(s.Out, strings.ReplaceAll(page, "PROGRAM", program))
}

func printError(s Streams, err error) { fmt.Fprintln(s.Err, "hotpatch:", err) }

func printMisuse(s Streams, m misuse) {
	fmt.Fprintf(s.Err, "hotpatch: %s\nTry: hotpatch %s\n", m.What, strings.TrimSpace("help "+m.Page))
}

func printInvalid(s Streams, err error) {
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines {
		fmt.Fprintln(s.Err, line)
	}
	fmt.Fprintf(s.Err, "hotpatch: not valid: %s\n", counted(len(lines), "mistake"))
}

func printValid(s Streams, file string, h api.HotPatch) {
	fmt.Fprintf(s.Out, "%s: HotPatch %s is valid: %s\n", file, h.Key(), asksFor(h))
}

func printSuspends(s Streams, file string, x api.Suspension) {
	what := "every HotPatch"
	if !x.Spec.All {
		what = "HotPatches in " + strings.Join(x.Spec.Namespaces, ", ")
	}
	fmt.Fprintf(s.Out, "%s: Suspension %s is valid: it suspends %s\n", file, x.Metadata.Name, what)
}

func printSchema(s Streams, kind string) error {
	schema := api.Schema(kind)
	if schema == nil {
		return misuse{fmt.Sprintf("there is no schema of %q; want HotPatch or Suspension", kind), "validate"}
	}
	_, err := s.Out.Write(schema)
	return err
}

func printNothingFound(s Streams, where string) {
	fmt.Fprintf(s.Err, "hotpatch: no HotPatch in %s; its kustomization.yaml must list one under resources\n", where)
}

func asksFor(h api.HotPatch) string {
	var parts []string
	for _, c := range h.Spec.Containers {
		parts = append(parts, c.Name+" "+c.Image)
	}
	for _, f := range h.Spec.Files {
		parts = append(parts, f.Path+" "+f.Version)
	}
	return fmt.Sprintf("%s on %s", strings.Join(parts, ", "), h.Spec.Target)
}

func printPlan(s Streams, h api.HotPatch, p plan.Plan) {
	c := p.Counts
	fmt.Fprintf(s.Out, "%s: %s\n", h.Key(), asksFor(h))
	for _, action := range p.Actions {
		fmt.Fprintf(s.Out, "  %s\n", action)
	}
	fmt.Fprintf(s.Out, "  %d of %s should be on it (partition %s), %d are\n", c.Desired, counted(c.Total, "pod"), h.Spec.Rollout.Partition, c.Updated)
	if p.Message != "" {
		fmt.Fprintf(s.Out, "  %s\n", p.Message)
	}
	for _, gate := range p.Gates {
		fmt.Fprintf(s.Out, "  %s is measured by the reconciler, which alone knows how it stands\n", gate)
	}
	if len(p.Actions) == 0 {
		fmt.Fprintln(s.Out, "  nothing would change now")
	}
	for _, warning := range p.Warnings {
		fmt.Fprintf(s.Out, "  note: %s\n", warning)
	}
}

func printWithoutRecord(s Streams, err error) {
	fmt.Fprintf(s.Err, "hotpatch: planning without the record of what was stable: %v\n", err)
}

func printPhase(s Streams, st api.HotPatchStatus) {
	fmt.Fprintf(s.Out, "%s at revision %s, as commit %.12s asks\n", st.Phase, st.Revision, st.Source.Commit)
}

// printTroubles says below a table what its columns cannot.
func printTroubles(s Streams, st api.HotPatchStatus) {
	if st.Message != "" {
		fmt.Fprintf(s.Out, "\n%s is %s: %s\n", st.Metadata.Name, st.Phase, st.Message)
	}
	for _, row := range st.Failures {
		fmt.Fprintf(s.Out, "  pod %s: %s\n", row.Name, row.Message)
	}
	for _, warning := range st.Warnings {
		fmt.Fprintf(s.Out, "%s: note: %s\n", st.Metadata.Name, warning)
	}
}

func noRecord(branch, repo string) error {
	return fmt.Errorf("no HotPatch was observed yet: branch %s of %s has no record; does the reconciler follow this repository?", branch, repo)
}

func noSuchRecord(names []string) error {
	return fmt.Errorf("nothing was recorded of %s; `hotpatch status` lists what there is", strings.Join(names, ", "))
}

func unknownCommand(name string) error {
	if near := nearest(name); near != "" {
		return misuse{fmt.Sprintf("there is no command %q; did you mean %q?", name, near), near}
	}
	return misuse{fmt.Sprintf("there is no command %q", name), ""}
}

// nearest is the command that most likely was meant, "" if none is like it.
func nearest(name string) string {
	best, likeness := "", 2
	for _, command := range slices.Sorted(maps.Keys(commands)) {
		common := 0
		for common < min(len(name), len(command)) && name[common] == command[common] {
			common++
		}
		if common > likeness || common == likeness && best == "" {
			best, likeness = command, common
		}
	}
	return best
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func printCommitted(s Streams, commit, branch, subject string, pushed bool) {
	what := "push it, or open a pull request"
	if pushed {
		what = "pushed"
	}
	fmt.Fprintf(s.Out, "%s on %s: %s; %s\n", short(commit), branch, subject, what)
}

func notPushed(commit, branch string, err error) error {
	return fmt.Errorf("%s is committed on %s, and not pushed: %w", short(commit), branch, err)
}

func printAsItIs(s Streams, name, what string) {
	fmt.Fprintf(s.Out, "%s is %s already in this clone: nothing to commit\n", name, what)
}

func printCompactAlready(s Streams, branch string, has, keep int) {
	fmt.Fprintf(s.Out, "%s has %d commits, of which %d are to be kept: nothing to do\n", branch, has, keep)
}

func printWouldCompact(s Streams, branch string, has, keep int) {
	fmt.Fprintf(s.Out, "%s has %d commits: with --push the oldest %d become one\n", branch, has, has-keep)
}

func printCompacted(s Streams, branch string, had, keep int) {
	fmt.Fprintf(s.Out, "%s had %d commits: the oldest %d are one now\n", branch, had, had-keep)
}

func promoteWords(name string, at api.Progress, steps int, full bool) (subject, body string) {
	subject = fmt.Sprintf("Promote %s past step %d of %d", name, at.Step, steps)
	if full {
		subject = fmt.Sprintf("Promote %s past all its pauses", name)
	}
	return subject, fmt.Sprintf("Revision %s, which is at step %d of %d.", at.Revision, at.Step, steps)
}

// setWords name what was set; several in the body.
func setWords(name string, done []string) (subject, body string) {
	if len(done) > 1 {
		return fmt.Sprintf("Set %d things of %s", len(done), name), strings.Join(done, "\n")
	}
	return fmt.Sprintf("Set %s: %s", name, done[0]), ""
}

func suspendWords(name string, suspend bool) (subject, body string) {
	if suspend {
		return "Suspend " + name, "Nothing new starts for it until it is resumed."
	}
	return "Resume " + name, "It goes on where it was."
}

func notSuspended(b brake, dir string, want bool) error {
	if want {
		return fmt.Errorf("%s would still not be suspended by a file in %s; --dir names the folder that HotPatches are built from", b, dir)
	}
	return fmt.Errorf("%s would still be suspended; `hotpatch validate` lists by what", b)
}

func holdsAll(x render.Suspension, b brake) error {
	return fmt.Errorf("%s in %s suspends everything, of which %s is a part; `hotpatch resume --all` takes it out", x.Suspension, x.File, b)
}

func rollbackWords(h api.HotPatch, stable api.StableRevision) (subject, body string) {
	return fmt.Sprintf("Roll %s back to revision %s", h.Metadata.Name, stable.Revision),
		fmt.Sprintf("The last one that reached every pod, as commit %s asked for it:\n%s.", short(stable.Source.Commit), asksFor(h))
}

func watchWords(st api.HotPatchStatus) string {
	words := fmt.Sprintf("%s: %s, %d of %d on %s", st.Metadata.Name, st.Phase, st.Counts.Updated, st.Counts.Total, st.Revision)
	if st.Message != "" {
		words += ": " + st.Message
	}
	return words
}

func notWithin(name string, timeout time.Duration) error {
	return fmt.Errorf("%s did not end within %s", name, timeout)
}

func notOnSteps(name string) error {
	return fmt.Errorf("%s is on no step, as far as is recorded; `hotpatch status %s` tells where it is", name, name)
}

func waitsForNobody(name string, step, steps int, at api.Step) error {
	what := "its pods"
	if at.Analysis != nil {
		what = "analysis " + at.Analysis.Name
	}
	return fmt.Errorf("%s is at step %d of %d, which waits for %s and for nobody; --full lets it go past all pauses that follow", name, step, steps, what)
}

func otherSteps(file string) error {
	return fmt.Errorf("the steps in %s are not those of the rollout that is under way; is this clone as new as what the reconciler follows?", file)
}

func severalClusters(name string) error {
	return fmt.Errorf("%s is not equally far on all clusters; --cluster says which one to go by", name)
}

func severalRecords(name string, statuses []api.HotPatchStatus) error {
	var where []string
	for _, st := range statuses {
		where = append(where, st.Cluster+"/"+st.Metadata.Namespace)
	}
	return fmt.Errorf("there are records of %s in %s; --cluster and --namespace say which", name, strings.Join(where, ", "))
}

func nothingStable(name string) error {
	return fmt.Errorf("no revision of %s is recorded that reached every pod; `git revert` undoes a commit, and naming the pods' own image brings that back", name)
}

// setElsewhere tells people where else to undo a release.
func setElsewhere(item render.Item, still, since string) error {
	words := fmt.Sprintf("%s alone does not decide what %s asks for", item.File, item.HotPatch.Key())
	if still != "" {
		words += ": " + still
	}
	words += "; a kustomization sets it (its images, a patch). Undo that there, with git revert"
	if since != "" {
		words += ". Commits since the stable revision:\n  " + strings.ReplaceAll(since, "\n", "\n  ")
	}
	return errors.New(words)
}
