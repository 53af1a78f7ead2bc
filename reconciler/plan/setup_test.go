package plan

import (
	"fmt"
	"strconv"
	"strings"

	"hotpatch.dev/hotpatch/api"
)

// What a story begins with.

func (c *cluster) setRollout(args []string) error {
	fields := map[string]*api.IntOrPercent{
		"partition": &c.rollout.Partition, "maxConcurrent": &c.rollout.MaxConcurrent, "maxUnavailable": &c.rollout.MaxUnavailable,
		"failureThreshold": &c.rollout.FailureThreshold,
	}
	seconds := map[string]*int{
		"minReadySeconds": &c.rollout.MinReadySeconds, "progressDeadlineSeconds": &c.rollout.ProgressDeadlineSeconds,
	}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		if into := seconds[name]; into != nil {
			*into, _ = strconv.Atoi(value)
			continue
		}
		switch name {
		case "onFailure":
			c.rollout.OnFailure = api.FailurePolicy(value)
			continue
		case "order":
			c.rollout.Order = nil
			for key := range strings.SplitSeq(value, ",") {
				c.rollout.Order = append(c.rollout.Order, api.SortKey(key))
			}
			continue
		}
		if fields[name] == nil {
			return fmt.Errorf("a rollout has no %s", name)
		}
		if strings.HasSuffix(value, "%") {
			value = strconv.Quote(value)
		}
		if err := fields[name].UnmarshalJSON([]byte(value)); err != nil {
			return err
		}
	}
	return nil
}

// settle has every pod on a revision that was reached before the story begins.
func (c *cluster) settle(r Revision) {
	c.stable = &r
	plan := Plan{}
	for _, p := range c.pods {
		plan.Actions = append(plan.Actions, Action{Kind: Apply, UID: p.UID, Revision: r})
	}
	c.act(plan)
	for _, p := range c.pods {
		c.work(p)
	}
}
