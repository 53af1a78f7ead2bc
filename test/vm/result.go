package main

import (
	"fmt"
	"strings"
	"time"
)

// result is what became of a row.
type result struct {
	row
	notRun error // why it could not be run here

	platform        string // as the machine saw itself
	passed          int    // tests
	failed, skipped []string
	packages        int      // whose tests passed
	broken          []string // whose did not, and how
	done            bool     // the machine came to its end
	died            error    // how the emulator ended, if not well
	log             string
	took            time.Duration
}

// Outcomes of a row.
const (
	passed = "passed"
	failed = "FAILED"
	notRun = "not run"
)

// outcome is passed only if every package was heard to have passed: a machine
// that says nothing has failed.
func (r result) outcome() string {
	switch {
	case r.notRun != nil:
		return notRun
	case r.done && r.packages == len(tested) && r.passed > 0 && len(r.failed)+len(r.skipped)+len(r.broken) == 0:
		return passed
	}
	return failed
}

// table tells of all rows, with the reason for each that did not pass.
func table(results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-20s %-8s %6s %8s  %s\n", "row", "", "tests", "time", "platform")
	for _, r := range results {
		platform := r.platform
		if platform == "" {
			platform = r.String()
		}
		fmt.Fprintf(&b, "%-20s %-8s %6d %8s  %s\n", r.name, r.outcome(), r.passed, r.took.Round(time.Second), platform)
	}
	for _, r := range results {
		if why := r.why(); why != "" {
			fmt.Fprintf(&b, "\n%s %s: %s\n", r.name, r.outcome(), why)
		}
	}
	return b.String()
}

func (r result) why() string {
	switch r.outcome() {
	case notRun:
		return r.notRun.Error()
	case passed:
		return ""
	}
	var parts []string
	for what, names := range map[string][]string{"tests": r.failed, "skipped": r.skipped, "packages": r.broken} {
		if len(names) > 0 {
			parts = append(parts, what+" "+strings.Join(names, ", "))
		}
	}
	if !r.done {
		parts = append(parts, fmt.Sprintf("the machine did not come to its end (%v)", r.died))
	}
	return strings.Join(append(parts, "its console is "+r.log), "; ")
}
