package kube

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pedigree is who owns whom, by UID; "?" may not be read.
type pedigree struct {
	mu    sync.Mutex
	up    map[string][]string
	asked map[string]int
}

func (p *pedigree) of(_ context.Context, _ string, child metav1.OwnerReference) ([]metav1.OwnerReference, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[string(child.UID)]++
	up := p.up[string(child.UID)]
	if len(up) == 1 && up[0] == "?" {
		return nil, errors.New("the reconciler may not read it")
	}
	return refs(up), nil
}

func refs(uids []string) (all []metav1.OwnerReference) {
	for _, uid := range uids {
		all = append(all, metav1.OwnerReference{UID: types.UID(uid)})
	}
	return all
}

func owned(name string, by ...string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: refs(by)}}
}

// all asks until the answer is known.
func (o *owners) all(t *testing.T, pods []*corev1.Pod, uid string) (string, error) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		found, err := o.only(context.Background(), pods, uid)
		if errors.Is(err, ErrNotListed) {
			continue
		}
		var names []string
		for _, pod := range found {
			names = append(names, pod.Name)
		}
		return strings.Join(names, " "), err
	}
	t.Fatal("nobody answers")
	return "", nil
}

func TestPodsAreFoundByTheirOwnersOverSeveralLevels(t *testing.T) {
	p := &pedigree{asked: map[string]int{}, up: map[string][]string{"set-1": {"fleet"}, "set-2": {"other", "fleet"}, "job": {"cron"}, "loop": {"loop"}, "secret": {"?"}}}
	o := newOwners(p, func() {})
	pods := []*corev1.Pod{owned("bare"), owned("a", "set-1"), owned("b", "set-2"), owned("c", "fleet"), owned("d", "job"), owned("e", "loop"), owned("f", "secret"), owned("g", "set-1")}
	if got, err := o.all(t, pods, "fleet"); got != "a b c g" || err != nil {
		t.Errorf("fleet: %q, %v", got, err)
	}
	if got, err := o.all(t, pods, "cron"); got != "d" || err != nil {
		t.Errorf("cron: %q, %v", got, err)
	}
	for uid, n := range p.asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", uid, n)
		}
	}
}

// Where no pod leads there, it may be for want of a right.
func TestOwnersThatCannotBeReadAreTold(t *testing.T) {
	o := newOwners(&pedigree{asked: map[string]int{}, up: map[string][]string{"set": {"?"}}}, func() {})
	got, err := o.all(t, []*corev1.Pod{owned("a", "set"), owned("bare")}, "fleet")
	if got != "" || err == nil || err.Error() != "what owns pod a cannot be told: the reconciler may not read it" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := o.all(t, []*corev1.Pod{owned("bare")}, "fleet"); got != "" || err != nil {
		t.Errorf("no pod at all: %q, %v", got, err)
	}
}

func TestAnswerBringsAPass(t *testing.T) {
	woken := make(chan struct{}, 1)
	o := newOwners(&pedigree{asked: map[string]int{}, up: map[string][]string{"set": {"fleet"}}}, func() { woken <- struct{}{} })
	if _, err := o.only(context.Background(), []*corev1.Pod{owned("a", "set")}, "fleet"); !errors.Is(err, ErrNotListed) {
		t.Fatalf("before it is known: %v", err)
	}
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody is told")
	}
}
