package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// Everything this program says to people stands in this file.

// pages are what `hotpatch help COMMAND` prints.
var pages = map[string]string{
	"": `Hotpatch changes what runs inside pods that must not restart, as Git says.
This program looks; the reconciler in the cluster does.

Usage:
  PROGRAM COMMAND [flags]

Commands:
  validate [PATH|URL]  check what a repository asks for
  plan [PATH|URL]      tell what would change on the cluster now, and why
  status [NAME...]     show what was observed, from the status branch
  version              print the version

Exit codes:
  0  fine; for plan: nothing would change
  1  misuse, or something could not be reached or read
  2  plan: something would change
  3  what the repository asks for is not valid

Example:
  PROGRAM plan ./hotpatch

"PROGRAM help COMMAND" tells more. Credentials for Git over HTTPS are files:
--git-username-file, --git-password-file, --git-token-file, --git-ca-file.
`,
	"validate": `Check every HotPatch and Suspension that a folder, a file or a Git repository asks for.

Usage:
  PROGRAM validate [PATH|URL] [flags]

A folder is rendered with kustomize as the reconciler does it. All that is wrong
is told at once, each with its file, object and field; then the exit code is 3.

Flags:
      --branch NAME   branch of URL (default main)
      --path DIR      folder in the repository of URL (default .)
      --schema        print the JSON schema of a HotPatch, for editors

Example:
  PROGRAM validate ./hotpatch
`,
	"plan": `Tell what the reconciler would do now if PATH or URL were what it follows.

Usage:
  PROGRAM plan [PATH|URL] [flags]

Nothing is changed. Exit codes: 0 nothing to do, 2 something to do, 3 not valid,
1 could not tell. The actions are the next ones, not all that will follow: pods
change a few at a time, and images are made ready before the first.

Flags:
      --branch NAME               branch of URL (default main)
      --path DIR                  folder in the repository of URL (default .)
      --repo URL                  repository with the record of what was
                                  observed (default: URL, or the repository
                                  that PATH is a clone of)
      --status-branch NAME        its branch (default hotpatch-status)
      --cluster NAME              whose record to read, if there are several
      --kubeconfig FILE           cluster to look at (default $KUBECONFIG or
                                  ~/.kube/config)
      --insecure-registries LIST  registries that speak plain HTTP
      --registry-alias NAME=ADDR  registry that is called NAME in the cluster
                                  and reached at ADDR from here

Example:
  PROGRAM plan ./hotpatch --kubeconfig ~/.kube/prod
`,
	"status": `Show what was observed of each HotPatch, from the status branch.

Usage:
  PROGRAM status [NAME...] [flags]

DESIRED is how many pods should be on the newest revision, UPDATED how many were
seen there, UPDATED_READY how many of those are Ready. AGE is the time since the
revision or the phase last changed.

Flags:
      --repo URL       repository, or a clone of it (default $HOTPATCH_REPO or .)
      --branch NAME    branch with the results (default hotpatch-status)
      --cluster NAME   one cluster only
  -n, --namespace NAME one namespace only
  -o, --output FORMAT  wide (with the pods), json or yaml

Example:
  PROGRAM status game-server -o wide
`,
	"version": `Print the version.

Usage:
  PROGRAM version

Example:
  PROGRAM version
`,
}

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
