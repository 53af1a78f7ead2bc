package plan

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// clone is a cluster to which other things may happen. What both point to is
// replaced, never changed.
func (c *cluster) clone() *cluster {
	copied := *c
	copied.pods = slices.Clone(c.pods)
	for i, p := range c.pods {
		pod := *p
		copied.pods[i] = &pod
	}
	copied.pulled, copied.gates, copied.passed, copied.judgedAt = maps.Clone(c.pulled), maps.Clone(c.gates), maps.Clone(c.passed), maps.Clone(c.judgedAt)
	return &copied
}

// canonical is all of a state that anything that follows depends on, in bytes. Of
// times it has how long ago they were, as far as a small world tells that apart.
func (s state) canonical() []byte {
	b := text(make([]byte, 0, 1024))
	b.put(strconv.Itoa(int(s.left)), s.revision.ID, s.rollout.Partition.String(), s.spec, s.promotion.String(), yes(s.suspended), yes(s.gitDown))
	b.put(s.waitsFor...)
	for _, d := range s.deferred {
		b.put(d.Name, s.ago(d.Since))
	}
	if s.stable != nil {
		b.put(s.stable.ID)
	}
	b.put("verdict")
	if v := s.verdict; v != nil {
		b.put(string(v.Do), v.Revision, v.Spec, yes(v.Inconclusive))
	}
	b.progress(s.progress, s.ago)
	b.progress(s.recorded, s.ago)
	b.results(s.results)
	b.results(s.recordedResults)
	for _, key := range slices.Sorted(maps.Keys(s.gates)) {
		b.put(key, string(s.gates[key].State))
	}
	b.put(slices.Sorted(maps.Keys(s.pulled))...)
	for _, key := range slices.Sorted(maps.Keys(s.passed)) {
		b.put(key, s.passed[key])
	}
	for _, at := range []map[int]string{s.judgedAt, s.recordedAt} {
		b.put("judged")
		for _, step := range slices.Sorted(maps.Keys(at)) {
			b.put(strconv.Itoa(step), at[step])
		}
	}
	for _, p := range s.pods {
		b.pod(p, s.ago)
	}
	return b
}

// text is words one after the other, that cannot be taken for other words.
type text []byte

func (b *text) put(words ...string) {
	for _, word := range words {
		*b = append(append(*b, word...), 0)
	}
	*b = append(*b, 1)
}

func yes(is bool) string { return strconv.FormatBool(is) }

// ago is how many seconds a time is past, up to more than anybody waits.
func (s state) ago(t time.Time) string {
	const longest = time.Minute
	return strconv.Itoa(int(min(s.now.Sub(t), longest).Seconds()))
}

func (b *text) progress(p *api.Progress, ago func(time.Time) string) {
	if b.put("progress"); p != nil {
		b.put(p.Revision, strconv.Itoa(p.Step), p.Passed, ago(p.Since))
	}
}

func (b *text) results(r *api.GateResults) {
	if b.put("results"); r != nil {
		b.put(r.For)
		b.put(r.Passed...)
		b.put(slices.Sorted(maps.Keys(r.Failed))...)
	}
}

func (b *text) pod(p *simPod, ago func(time.Time) string) {
	b.put(p.UID, p.ContainerIDs["main"], p.at, p.files, p.refuse, p.SidecarError)
	b.put(yes(p.Gone), yes(p.Ready), yes(p.Touched), yes(p.Refused), p.Labels["state"], ago(p.ReadySince), ago(p.moved))
	b.put(p.Desired.Revision, yes(p.Desired.Ready), p.Prepare.Revision, p.Observed.Revision)
	for _, is := range p.Observed.Containers {
		b.put("container", is.ContainerID, is.Image, string(is.State), ago(is.Time))
	}
	for _, is := range p.Observed.Prepared {
		b.put("prepared", is.Image, string(is.State))
	}
	for _, is := range p.Files.Files {
		b.put("file", is.Version, string(is.State), ago(is.Time))
	}
}
