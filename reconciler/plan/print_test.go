package plan

import (
	"encoding/json"
	"fmt"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// prints are the commands of a scenario that say something.
var prints = map[string]func(*cluster) string{
	"plan": func(c *cluster) string { return c.told(Make(c.input())) },
	"step": func(c *cluster) string {
		p := Make(c.input())
		said := c.told(p)
		c.step(p)
		return said
	},
	"run":  (*cluster).run,
	"show": (*cluster).show,
}

func (c *cluster) step(p Plan) {
	c.act(p)
	for _, p := range c.pods {
		c.work(p)
	}
}

// maxSteps is more than any story takes.
const maxSteps = 50

func (c *cluster) run() string {
	var out strings.Builder
	for i := 1; i <= maxSteps; i++ {
		p, before := Make(c.input()), dump(c.input())
		for _, a := range p.Actions {
			fmt.Fprintf(&out, "%d: %s\n", i, a)
		}
		c.step(p)
		if dump(c.input()) == before {
			p.Actions = nil // tried in vain: they stand above
			return out.String() + c.told(p)
		}
	}
	return out.String() + fmt.Sprintf("no end after %d steps\n", maxSteps)
}

// dump is an input with all that it points to.
func dump(in Input) string {
	text, err := json.Marshal(in)
	if err != nil {
		panic(err) // plain structs: cannot fail
	}
	return string(text)
}

// told is a plan as people see it.
func (c *cluster) told(p Plan) string {
	var out strings.Builder
	for _, a := range p.Actions {
		fmt.Fprintln(&out, a)
	}
	for _, g := range p.Gates {
		if _, over := c.gates[g.Key()]; !over {
			fmt.Fprintln(&out, "measure", g)
		}
	}
	fmt.Fprintf(&out, "%s", p.Phase)
	if p.Message != "" {
		fmt.Fprintf(&out, ": %s", p.Message)
	}
	n := p.Counts
	fmt.Fprintf(&out, "\ndesired %d, updated %d, updatedReady %d, ready %d, total %d\n", n.Desired, n.Updated, n.UpdatedReady, n.Ready, n.Total)
	if !p.Again.IsZero() {
		fmt.Fprintf(&out, "again at %s\n", p.Again.UTC().Format("Mon 15:04:05"))
	}
	fmt.Fprintln(&out, Subject(c.status(p), p.Hold))
	return out.String()
}

func (c *cluster) status(p Plan) api.HotPatchStatus {
	return api.HotPatchStatus{Metadata: api.Metadata{Name: "game"}, Revision: c.revision.ID, Phase: p.Phase, Message: p.Message, Counts: p.Counts, Verdict: p.Verdict}
}

func (c *cluster) show() string {
	var out strings.Builder
	for _, r := range Make(c.input()).Rows {
		words := []string{r.State}
		if r.Revision != "" {
			words = append(words, r.Revision)
		}
		if !r.Ready {
			words = append(words, "not Ready")
		}
		for _, said := range []string{r.Message, r.Reason} {
			if said != "" {
				words = append(words, said)
			}
		}
		fmt.Fprintf(&out, "%s on %s: %s\n", r.Name, r.Node, strings.Join(words, ", "))
	}
	return out.String()
}

// truth is what no plan reads.
func (c *cluster) truth() string {
	var out strings.Builder
	for _, p := range c.alive() {
		fmt.Fprintf(&out, "%s in truth: asked for %q, is on %q, seen on %q, files of %q, sidecar error %q\n", p.Name, p.Desired.Revision, p.at, p.Observed.Revision, p.files, p.SidecarError)
	}
	return out.String()
}
