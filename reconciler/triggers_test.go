package reconciler

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

func TestNoTriggerIsLostWhileAPassRuns(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	trigger := newTrigger()
	started, finish := make(chan cause), make(chan struct{})
	go trigger.serve(ctx, func(_ context.Context, c cause) {
		started <- c
		<-finish
	})

	trigger.fire(newCommit)
	<-started
	for range 100 {
		trigger.fire(podsChanged)
	}
	trigger.fire(retryDue)
	finish <- struct{}{}

	if c := <-started; c != podsChanged|retryDue {
		t.Errorf("the pass after has causes %b", c)
	}
	finish <- struct{}{}
	select {
	case <-started:
		t.Error("102 triggers gave three passes, want two")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestPassBeginsWithin50ms(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	trigger := newTrigger()
	began := make(chan time.Time)
	go trigger.serve(ctx, func(context.Context, cause) { began <- time.Now() })
	changed := debounce(func() { trigger.fire(podsChanged) })
	for range 20 {
		start := time.Now()
		changed()
		if wait := (<-began).Sub(start); wait > 50*time.Millisecond {
			t.Errorf("a pass began after %s", wait)
		}
	}
}

func TestBurstOfPodEventsIsOnePass(t *testing.T) {
	var calls atomic.Int32
	changed := debounce(func() { calls.Add(1) })
	for range 50 {
		changed()
	}
	time.Sleep(20 * settle)
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	changed()
	time.Sleep(20 * settle)
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls after a second burst, want 2", n)
	}
}

func TestAlarmRingsOnceAtTheLastTimeSet(t *testing.T) {
	rung := make(chan string, 2)
	var a alarm
	defer a.stop()
	a.set(time.Now().Add(20*time.Millisecond), func() { rung <- "first" })
	start := time.Now()
	a.set(start.Add(60*time.Millisecond), func() { rung <- "second" })
	if which := <-rung; which != "second" || time.Since(start) < 60*time.Millisecond {
		t.Errorf("the %s rang after %s", which, time.Since(start))
	}
	a.set(time.Now().Add(20*time.Millisecond), func() { rung <- "third" })
	a.set(time.Time{}, nil)
	select {
	case which := <-rung:
		t.Errorf("the %s rang, though never was set", which)
	case <-time.After(60 * time.Millisecond):
	}
}
