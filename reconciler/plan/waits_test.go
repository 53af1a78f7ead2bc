package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// What a rollout that waits has to say, and when to look again.

// silentWait: pods that could change do not, without a word of who is in the way,
// or with the wrong one.
func silentWait(c *cluster, p Plan) string {
	unsettled := func(pod *simPod) bool {
		return !c.spared(pod) && (pod.changing() || c.gated(pod) || c.proving(pod) && !pod.Ready)
	}
	lacks := func(pod *simPod) bool {
		return !pod.Ready || !c.spared(pod) && (pod.changing() || c.gated(pod))
	}
	busy, lacking := c.count(unsettled), c.count(lacks)
	total, words := len(c.alive()), fmt.Sprintf("%q, %d changing, %d lacking", p.Message, busy, lacking)
	message, _, _ := strings.Cut(p.said(), "; ")
	switch {
	case strings.HasPrefix(message, "maxConcurrent"):
		if busy < max(1, c.rollout.MaxConcurrent.Of(total)) || !c.names(message, unsettled) {
			return words
		}
	case strings.HasPrefix(message, "maxUnavailable"):
		if lacking < max(1, c.rollout.MaxUnavailable.OfRoundedDown(total)) || !c.names(message, lacks) {
			return words
		}
	case p.Phase != api.PhaseProgressing || len(p.Actions) > 0 || !p.Progress.Same(c.recorded):
	case p.Message == "", strings.HasPrefix(p.said(), "partition") && c.asked() < c.share() && c.couldChange():
		return words
	}
	return ""
}

func (c *cluster) count(are func(*simPod) bool) (n int) {
	for _, pod := range c.alive() {
		if are(pod) {
			n++
		}
	}
	return n
}

// names tells whether a text names all such pods, or five of them.
func (c *cluster) names(text string, such func(*simPod) bool) bool {
	named := 0
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		if i := slices.IndexFunc(c.alive(), func(p *simPod) bool { return p.Name == word }); i >= 0 {
			if named++; !such(c.alive()[i]) {
				return false
			}
		}
	}
	return named == min(5, c.count(such))
}

// couldChange: every pod runs, and every node has the images.
func (c *cluster) couldChange() bool {
	for _, pod := range c.alive() {
		if len(pod.ContainerIDs) == 0 || len(images(c.revision)) > 0 && !c.askedOn(pod.Node) {
			return false
		}
	}
	return true
}

func lookedAtAgain(c *cluster, p Plan) string {
	if !p.Again.IsZero() && !p.Again.After(c.now) || p.Again.IsZero() && (strings.HasPrefix(p.said(), "minReady") || strings.HasPrefix(p.said(), "paused until Mon")) {
		return fmt.Sprintf("it is %s, again at %s", c.now, p.Again)
	}
	return ""
}

// proving: told of the revision and on it, but not Ready there for long enough.
func (c *cluster) proving(p *simPod) bool {
	if c.stable != nil && c.stable.ID == c.revision.ID || c.rollout.MinReadySeconds == 0 {
		return false
	}
	enough := time.Duration(c.rollout.MinReadySeconds) * time.Second
	return p.Desired.Revision == c.revision.ID && p.on() == c.revision.ID &&
		(!p.Ready || c.now.Sub(p.ReadySince) < enough || c.now.Sub(p.moved) < enough)
}

// shut: no window is open.
func (c *cluster) shut() bool {
	switch {
	case len(c.rollout.Window.List) == 0:
		return false
	case c.rollout.Window.List[0].Schedule == byNight.List[0].Schedule:
		return c.now.Hour() != 3
	}
	return c.now.Minute()%2 == 1
}

func notOutside(c *cluster, p Plan) string {
	if c.stable != nil && c.stable.ID == c.revision.ID {
		return ""
	}
	for _, a := range p.Actions {
		if c.shut() && a.Revision.ID == c.revision.ID {
			return a.String()
		}
	}
	if !c.shut() && strings.HasPrefix(p.said(), "outside") {
		return p.Message
	}
	return ""
}
