package reconciler

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/plain"
	"hotpatch.dev/hotpatch/reconciler/plan"
)

// status is what there is to say about a HotPatch after a pass, on the ground
// of what its record said before. A plan of nil means that nothing was
// observed.
func (t *tracked) status(cluster string, now time.Time, p *plan.Plan) api.HotPatchStatus {
	s := t.record
	s.APIVersion, s.Kind, s.Cluster = api.APIVersion, api.KindHotPatchStatus, cluster
	s.Metadata.Namespace, s.Metadata.Name, _ = strings.Cut(t.key, "/")
	if p != nil {
		t.accepted.describe(&s)
		s.Phase, s.Message, s.Counts = p.Phase, p.Message, p.Counts
		s.Pods, s.Failures, s.Deferred, s.Progress = p.Rows, p.Failures, p.Deferred, p.Progress
		s.Warnings = slices.Concat(p.Warnings, t.unread)
		if len(s.Pods) > api.MaxPodRows {
			s.Pods = nil
		}
		s.Verdict, s.Gates = p.Verdict, p.Results
		if p.Reached {
			s.Stable = reached(s)
		}
	}
	s.SuspendedBy = brakeNames(t.brakes)
	if problem := t.trouble(); problem != nil {
		s.Phase, s.Message = api.PhaseDegraded, t.inWords(problem)
	}
	if s.Source.Commit == "" && t.wanted != nil {
		s.Source = t.wanted.source()
	}
	if s.Revision != t.record.Revision || s.Phase != t.record.Phase {
		s.Since = now.UTC().Truncate(time.Second)
	}
	return s
}

// reached makes the revision the stable one, and notes the commit that asked for
// it when it came to be: later ones that ask for the same are no news.
func reached(s api.HotPatchStatus) *api.StableRevision {
	stable := &api.StableRevision{Revision: s.Revision, Source: s.Source, Images: s.Images, Containers: s.Containers, Files: s.Files}
	if was := s.Stable; was != nil && was.Revision == s.Revision && was.Source.Commit != "" {
		stable.Source = was.Source
	}
	return stable
}

// describe says what is in force.
func (a *accepted) describe(s *api.HotPatchStatus) {
	s.Source = a.source()
	s.Revision = a.revision.ID
	s.Containers, s.Files = a.revision.Containers, a.revision.Files
	s.Images = nil
	for _, c := range a.HotPatch.Spec.Containers {
		if s.Images == nil {
			s.Images = map[string]string{}
		}
		s.Images[c.Name] = c.Image
	}
	s.Restore = nil
	if a.HotPatch.Spec.OnDelete == api.DeleteRestore {
		s.Restore = &a.HotPatch.Spec.Target
	}
}

// trouble is why the newest commit is not in force, nil while that is being
// found out.
func (t *tracked) trouble() error {
	if t.awaits() {
		return nil
	}
	return cmp.Or(t.broken, t.problem)
}

// awaits tells whether what the newest commit needs is still being found out.
func (t *tracked) awaits() bool { return errors.Is(cmp.Or(t.broken, t.problem), errWaiting) }

func (t *tracked) inWords(problem error) string {
	words := problem.Error()
	if t.record.Revision != "" {
		words += fmt.Sprintf("; revision %s stays in force", t.record.Revision)
	}
	if t.suspended() {
		words += "; suspended in Git"
	}
	if len(t.brakes) > 0 {
		words += " by " + inWords(t.brakes)
	}
	return words
}

// Limits of what a commit says of one HotPatch, and of how much of several stands in
// one subject, in bytes.
const (
	maxLine    = 300
	maxSubject = 100
)

// subject is the record's line in the log of the status branch.
func (t *tracked) subject() string {
	if problem := t.trouble(); problem != nil {
		return shorten(t.record.Metadata.Name+": "+brief(problem), maxSubject)
	}
	return plain.Text(plan.Subject(t.record, t.hold), maxLine)
}

// brief leaves out file and object, which the record names.
func brief(problem error) string {
	var wrong *api.Error
	if errors.As(problem, &wrong) {
		short := *wrong
		short.File, short.Object = "", ""
		return short.Error()
	}
	return problem.Error()
}

// shorten cuts a text to one line of at most so many bytes.
func shorten(text string, limit int) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) <= limit {
		return line
	}
	return strings.ToValidUTF8(line[:limit-len("…")], "") + "…"
}
