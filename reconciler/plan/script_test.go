package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// script is the language of the scenarios:
//
//	pods game 8 on n1 n2       eight Ready pods, in turn on these nodes
//	statefulset game 8 on n1   the same with ordinals
//	add game-x [on n1]         one more; without a node it is not scheduled yet
//	schedule game-x n1         it is now
//	ready, unready, kill POD…  killed pods are being deleted until `remove`
//	restart POD…               a new container on its own image
//	crash POD…                 none runs, until `restart`
//	overwrite POD…             somebody puts another file in place by hand
//	forget POD…                someone removes what it was asked for
//	strip POD…                 and what its agent wrote
//	priority POD 5
//	zone POD west
//	fail POD words             the agent's swaps fail, until `heal POD`
//	fail-on POD v2 words       to this revision
//	refuse POD words           so does the sidecar
//	unknown, known IMAGE…      what the registry has
//	rollout partition=3 maxConcurrent=25% maxUnavailable=2 minReadySeconds=30 order=oldest,node-spread
//	rollout onFailure=Rollback failureThreshold=2 progressDeadlineSeconds=60
//	analysis errors before between after pod
//	judge errors [game-0] Failed words    what comes of its gates, or of that pod's
//	spec words                 what else Git says, be it the same revision
//	window 0 22 * * 1-5 for 4h in Europe/Berlin
//	suspend [by WHAT], resume
//	protect label NAME[=VALUE,…] [30m]    or annotation; with a deadline
//	label, annotate POD NAME=VALUE   without = it is taken off
//	born POD v2                it was started on the image of that version
//	waits [for NAME…]          other HotPatches that are not Complete
//	policy [WORDS]             admission controls judge images, and refuse them
//	steps partition=75% pause partition=2 pause=10m analysis=errors    or none
//	promote v2@2               what stands in Git; also v2@full
//	unreachable, reachable     the Git server, where progress is recorded
//	reborn                     another reconciler, which knows what is recorded
//	lose                       somebody deletes the record
//	clock 2026-11-30T22:00:00+01:00
//	wait 30s                   and nothing happens meanwhile; it began at noon
//	revision v2 [image] [files]   a push; an image unless told otherwise
//	stable v1 [image] [files]     every pod has reached it
//	die                        the process, before the verdict was pushed
//	plan                       print the plan
//	act                        do it; agents have not seen it yet
//	work [POD…]                their agents, or all, do what is asked
//	step                       plan, act, work
//	run                        step until nothing is left to do; print all
//	                           actions, numbered by step, and the end
//	show                       print the rows of the pods
type script struct{ c *cluster }

func newScript() *script { return &script{newCluster()} }

func (s *script) do(words []string) (string, error) {
	name, args := words[0], words[1:]
	if onPods := podCommands[name]; onPods != nil {
		return "", s.onPods(onPods, args)
	}
	if print := prints[name]; print != nil {
		return s.named(print(s.c)), nil
	}
	set := settings[name]
	if set == nil {
		return "", fmt.Errorf("no such command")
	}
	return "", set(s.c, args)
}

// named replaces the digits of the pods' own images, which mean nothing to
// people.
func (s *script) named(text string) string {
	in := s.c.input()
	in.Stable = nil
	return strings.ReplaceAll(text, stableOf(in).ID, "their own images")
}

func (s *script) onPods(f func(*cluster, *simPod), names []string) error {
	for _, name := range names {
		p, err := s.c.pod(name)
		if err != nil {
			return err
		}
		f(s.c, p)
	}
	return nil
}

func (c *cluster) pod(name string) (*simPod, error) {
	i := slices.IndexFunc(c.pods, func(p *simPod) bool { return p.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no pod %s", name)
	}
	return c.pods[i], nil
}

var podCommands = map[string]func(*cluster, *simPod){
	"ready":     func(c *cluster, p *simPod) { c.setReady(p, true) },
	"unready":   func(c *cluster, p *simPod) { c.setReady(p, false) },
	"kill":      func(_ *cluster, p *simPod) { p.Gone = true },
	"forget":    func(_ *cluster, p *simPod) { p.Desired = api.Desired{} },
	"strip":     func(_ *cluster, p *simPod) { p.Desired, p.Observed = api.Desired{}, api.Observed{} },
	"restart":   (*cluster).restart,
	"overwrite": (*cluster).overwrite,
	"crash":     (*cluster).crash,
	"heal":      func(_ *cluster, p *simPod) { p.fail, p.failOn, p.refuse = "", "", "" },
}

var settings = map[string]func(*cluster, []string) error{
	"pods":        func(c *cluster, args []string) error { return c.addAll(args, false) },
	"statefulset": func(c *cluster, args []string) error { return c.addAll(args, true) },
	"add": func(c *cluster, args []string) error {
		c.add(args[0], strings.Join(args[min(2, len(args)):], ""), -1)
		return nil
	},
	"schedule": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { c.schedule(p, rest) })
	},
	"priority": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { p.Priority, _ = strconv.Atoi(rest) })
	},
	"zone": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { p.Zone = rest })
	},
	"fail": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { p.fail = rest })
	},
	"fail-on": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { p.failOn, p.fail, _ = strings.Cut(rest, " ") })
	},
	"refuse": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { p.refuse = rest })
	},
	"remove":  func(c *cluster, _ []string) error { c.remove(); return nil },
	"unknown": func(c *cluster, args []string) error { return c.know(args, false) },
	"known":   func(c *cluster, args []string) error { return c.know(args, true) },
	"rollout": (*cluster).setRollout,
	"spec":    func(c *cluster, args []string) error { c.spec = strings.Join(args, " "); return nil },
	"analysis": func(c *cluster, args []string) error {
		a := api.Analysis{Name: args[0]}
		for _, when := range args[1:] {
			a.When = append(a.When, api.Moment(when))
		}
		c.rollout.Analysis = append(c.rollout.Analysis, a)
		return nil
	},
	"judge": func(c *cluster, args []string) error {
		name, pod, args := args[0], "", args[1:]
		if _, err := c.pod(args[0]); err == nil {
			pod, args = args[0], args[1:]
		}
		c.judge(Judged{GateState(args[0]), strings.Join(args[1:], " ")}, func(g Gate) bool {
			return g.Analysis == name && (pod == "" || g.Pod == pod)
		})
		return nil
	},
	"die": func(c *cluster, _ []string) error { c.verdict = nil; return nil },
	"wait": func(c *cluster, args []string) error {
		d, err := time.ParseDuration(args[0])
		c.now = c.now.Add(d)
		return err
	},
	"clock": func(c *cluster, args []string) (err error) {
		c.now, err = time.Parse(time.RFC3339, args[0])
		return err
	},
	"window": func(c *cluster, args []string) error {
		w := api.Window{Schedule: strings.Join(args[:5], " "), Duration: args[6], TimeZone: args[8]}
		c.rollout.Window.List = append(c.rollout.Window.List, w)
		return nil
	},
	"suspend": func(c *cluster, args []string) error {
		c.suspended, c.suspendedBy = true, strings.Join(args[min(1, len(args)):], " ")
		return nil
	},
	"resume":  func(c *cluster, _ []string) error { c.suspended, c.suspendedBy = false, ""; return nil },
	"protect": (*cluster).protect,
	"label": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { p.Labels = with(p.Labels, rest) })
	},
	"annotate": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { p.Annotations = with(p.Annotations, rest) })
	},
	"born": func(c *cluster, args []string) error {
		return c.with(args, func(p *simPod, rest string) { c.bear(p, rest) })
	},
	"waits": func(c *cluster, args []string) error { c.waitsFor = args[min(1, len(args)):]; return nil },
	"policy": func(c *cluster, args []string) error {
		c.judges, c.policy = true, strings.Join(args, " ")
		return nil
	},
	"steps":       func(c *cluster, args []string) (err error) { c.rollout.Steps, err = parseSteps(args); return err },
	"promote":     (*cluster).promote,
	"unreachable": func(c *cluster, _ []string) error { c.gitDown = true; return nil },
	"reachable":   func(c *cluster, _ []string) error { c.record(); return nil },
	"reborn":      func(c *cluster, _ []string) error { c.reborn(); return nil },
	"lose":        func(c *cluster, _ []string) error { c.recorded, c.recordedResults = nil, nil; return nil },
	"revision": func(c *cluster, args []string) error {
		c.revision = parseShape(args[1:]).revision(args[0])
		return nil
	},
	"stable": func(c *cluster, args []string) error {
		c.settle(parseShape(args[1:]).revision(args[0]))
		return nil
	},
	"act": func(c *cluster, _ []string) error { c.act(Make(c.input())); return nil },
	"work": func(c *cluster, args []string) error {
		for _, p := range c.pods {
			if len(args) == 0 || slices.Contains(args, p.Name) {
				c.work(p)
			}
		}
		return nil
	},
}

// addAll reads "game 8 on n1 n2".
func (c *cluster) addAll(args []string, ordinals bool) error {
	n, err := strconv.Atoi(args[1])
	if err != nil || len(args) < 4 {
		return fmt.Errorf("want a name, a number, on, nodes: %w", err)
	}
	nodes := args[3:]
	for i := range n {
		ordinal := -1
		if ordinals {
			ordinal = i
		}
		c.add(fmt.Sprintf("%s-%d", args[0], i), nodes[i%len(nodes)], ordinal)
	}
	return nil
}

// with reads a pod's name and the rest of the line.
func (c *cluster) with(args []string, f func(p *simPod, rest string)) error {
	p, err := c.pod(args[0])
	if err == nil {
		f(p, strings.Join(args[1:], " "))
	}
	return err
}

// protect reads "label a=b,c 30m".
func (c *cluster) protect(args []string) error {
	name, values, given := strings.Cut(args[1], "=")
	p := api.Protection{Label: name, Deadline: strings.Join(args[2:], "")}
	if args[0] == "annotation" {
		p.Label, p.Annotation = "", name
	}
	if given {
		p.Values = strings.Split(values, ",")
	}
	c.rollout.Protect = append(c.rollout.Protect, p)
	return nil
}

// with is a map with "name=value" in it, or without "name".
func with(m map[string]string, text string) map[string]string {
	changed := maps.Clone(m)
	name, value, given := strings.Cut(text, "=")
	if changed == nil {
		changed = map[string]string{}
	}
	if delete(changed, name); given {
		changed[name] = value
	}
	return changed
}

func (c *cluster) know(images []string, known bool) error {
	for _, image := range images {
		c.unknown[image] = !known
	}
	return nil
}

func parseShape(words []string) shape {
	return shape{image: len(words) == 0 || slices.Contains(words, "image"), files: slices.Contains(words, "files")}
}
