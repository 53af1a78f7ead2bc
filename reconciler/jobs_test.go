package reconciler

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Calls of pods' sidecars are made in parallel, and no more of them than may: those that
// hang have the others wait, and those run all the same when there is room.
func TestJobsAtOnceAreLimited(t *testing.T) {
	j := newJobs(newRetries(func() {}), func() {})
	begun, goOn := make(chan struct{}, 3*parallel), make(chan struct{})
	for i := range 2*parallel + 1 {
		j.start(t.Context(), fmt.Sprint("pod ", i), "v2", func(context.Context) error {
			begun <- struct{}{}
			<-goOn
			return nil
		})
	}
	for range parallel {
		select {
		case <-begun:
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of them run at once, want %d", len(begun), parallel)
		}
	}
	time.Sleep(50 * time.Millisecond) // for one that ought to wait
	if len(begun) > 0 {
		t.Errorf("%d more than %d run at once", len(begun), parallel)
	}
	if got := len(j.underway()); got != 2*parallel+1 {
		t.Errorf("%d are said to be under way, want all, those that wait too", got)
	}
	close(goOn)
	j.wait()
	if got := len(begun); got != parallel+1 {
		t.Errorf("%d of those that waited have run, want %d", got, parallel+1)
	}
}
