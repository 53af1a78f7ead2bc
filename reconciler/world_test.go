package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/gates"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// world is a cluster whose pods are labelled with the targets that they belong to.
// Nothing happens in it by itself.
type world struct {
	mu   sync.Mutex
	pods map[string]kube.Pod // by name
	off  map[string]bool     // what does not work, of the moods
}

// moods are what may go wrong with everything around.
var moods = []string{"measures", "targets", "registry", "policy", "writes"}

func (w *world) fails(mood string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.off[mood] {
		return errors.New(mood + " are out of order")
	}
	return nil
}

// writing is how long it takes to write to a pod, and to measure.
const writing = 50 * time.Millisecond

func (w *world) Measure(context.Context, api.Analysis, string, gates.Pod) gates.Measured {
	time.Sleep(writing)
	if err := w.fails("measures"); err != nil {
		return gates.Measured{Outcome: gates.Bad, Why: err.Error()}
	}
	return gates.Measured{Outcome: gates.Good}
}

func (w *world) Admit(context.Context, kube.Pod, map[string]string) error {
	time.Sleep(writing)
	return w.fails("policy")
}

func (w *world) Digest(_ context.Context, image string) (string, error) {
	if strings.Contains(image, "@") {
		return image, nil
	}
	time.Sleep(writing)
	return "game@sha256:" + strings.Repeat(image[len(image)-1:], 64), w.fails("registry")
}

func (w *world) Scope(_ context.Context, namespace string, target api.Target) (kube.Scope, error) {
	scope := kube.Scope{Namespace: namespace, Selector: target.Name}
	if tagged(target.Name) {
		return scope, nil
	}
	return scope, w.fails("targets")
}

func (w *world) Watch(context.Context, []kube.Scope) {}

func (w *world) Pods(scope kube.Scope) (pods []kube.Pod, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.pods)) {
		if _, of := w.pods[name].Labels[scope.Selector]; of {
			pods = append(pods, w.pods[name])
		}
	}
	return pods, nil
}

func (w *world) Annotate(_ context.Context, ref kube.Ref, annotations map[string]*string) error {
	time.Sleep(writing)
	if err := w.fails("writes"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	pod, there := w.pods[ref.Name]
	if !there {
		return kube.ErrChanged
	}
	for key, text := range annotations {
		var into any
		switch key {
		case api.PrepareAnnotation:
			pod.Prepare, into = api.Prepare{}, &pod.Prepare
		case api.OwnerAnnotation:
			pod.Owner, into = api.Owner{}, &pod.Owner
		default:
			pod.Desired, into = api.Desired{}, &pod.Desired
		}
		if text == nil {
			continue
		}
		if err := json.Unmarshal([]byte(*text), into); err != nil {
			return err
		}
	}
	w.pods[ref.Name] = pod
	return nil
}

// obey has a pod's agent do what the pod was asked for, or fail.
func obey(pod kube.Pod, fails bool) kube.Pod {
	pod.Observed.Prepared = nil
	for _, c := range pod.Prepare.Containers {
		pod.Observed.Prepared = append(pod.Observed.Prepared, api.PreparedImage{Container: c.Name, Image: c.Image, State: api.StateReady})
	}
	if pod.Desired.Revision == "" {
		return pod
	}
	pod.Observed.Revision, pod.Observed.Containers = pod.Desired.Revision, nil
	for _, c := range pod.Desired.Containers {
		is := api.ObservedContainer{Name: c.Name, ContainerID: pod.ContainerIDs[c.Name], Image: c.Image, State: api.StatePatched, Time: time.Now()}
		if c.Image == "" {
			is.State = api.StateRestored
		}
		if fails {
			is.State, is.Message = api.StateFailed, "no space"
		}
		pod.Observed.Containers = append(pod.Observed.Containers, is)
	}
	return pod
}

// targets that pods belong to, and the HotPatch of each.
var targets = []string{"a", "b", "c", "d"}

// tagged: images for a target may be named by tags, and the target is always found.
// Of one that was not found, and of an image, whoever rests learns when it is tried
// again, and not in which order they are lost.
func tagged(target string) bool { return target > "b" }

// event is something that happens: to some pods, in Git, to everything around, or
// nothing for a while.
type event struct {
	mood   string // begins, or ends
	words  string
	names  []string // of pods
	change func(pod kube.Pod, there bool) (kube.Pod, bool)
	commit *render.Result
	sleep  time.Duration
}

// happens has pods changed, and returns the targets that this is seen in.
func (w *world) happens(e event) (seen []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.mood != "" {
		w.off[e.mood] = !w.off[e.mood]
	}
	for _, name := range e.names {
		before, was := w.pods[name]
		after, is := e.change(before, was)
		delete(w.pods, name)
		if is {
			w.pods[name] = after
		}
		for _, target := range targets {
			_, out := before.Labels[target]
			_, in := after.Labels[target]
			if was && out || is && in {
				seen = append(seen, target)
			}
		}
	}
	return seen
}

// anything is what may happen next.
func anything(r *rand.Rand) event {
	own := targets[r.IntN(len(targets))]
	name := fmt.Sprintf("%s-%d", own, r.IntN(5))
	e := event{names: []string{name}}
	there := func(change func(kube.Pod) kube.Pod) func(kube.Pod, bool) (kube.Pod, bool) {
		return func(p kube.Pod, is bool) (kube.Pod, bool) {
			if is {
				p = change(p)
			}
			return p, is
		}
	}
	switch r.IntN(14) {
	case 0:
		fails := r.IntN(2) == 0
		e.words, e.change = fmt.Sprintf("agent, fails %t", fails), there(func(p kube.Pod) kube.Pod { return obey(p, fails) })
	case 1, 2:
		e.names = nil
		for n := range 5 {
			e.names = append(e.names, fmt.Sprintf("%s-%d", own, n))
		}
		e.words, e.change = "agents", there(func(p kube.Pod) kube.Pod { return obey(p, false) })
	case 3:
		e.words, e.change = "readiness", there(func(p kube.Pod) kube.Pod {
			p.Ready, p.ReadySince = !p.Ready, time.Now()
			return p
		})
	case 4, 5:
		e.words, e.change = "made anew", func(kube.Pod, bool) (kube.Pod, bool) {
			p := runningPod(name)
			p.UID = fmt.Sprintf("%s at %d", name, time.Now().UnixNano())
			p.Ref.UID, p.Created, p.ReadySince = p.UID, time.Now(), time.Now()
			p.Labels = map[string]string{own: ""}
			return p, true
		}
	case 6:
		e.words, e.change = "gone", func(p kube.Pod, _ bool) (kube.Pod, bool) { return p, false }
	case 7:
		also := targets[r.IntN(len(targets))]
		e.words, e.change = "of "+also+" or not", there(func(p kube.Pod) kube.Pod { return toggled(p, also) })
	case 8:
		e.words, e.change = "a match or not", there(func(p kube.Pod) kube.Pod { return toggled(p, "match") })
	case 9, 10:
		e.words, e.sleep = "time", time.Duration(1+r.IntN(400))*time.Duration(1+r.IntN(20))*time.Second
	case 11:
		e.words, e.commit = "a commit", someWishes(r)
	case 12, 13:
		e.mood, e.names = moods[r.IntN(len(moods))], nil
		e.words = "otherwise are " + e.mood
	}
	e.words += " " + name
	return e
}

func toggled(p kube.Pod, label string) kube.Pod {
	p.Labels = maps.Clone(p.Labels)
	if _, is := p.Labels[label]; is {
		delete(p.Labels, label)
	} else {
		p.Labels[label] = ""
	}
	return p
}
