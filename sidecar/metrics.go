package sidecar

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// tally is what GET /metrics tells. It is written out by hand: Prometheus' own
// library would be a third of the program.
type tally struct {
	open bool // anyone may post
	book *book

	mu      sync.Mutex
	answers map[int]uint64 // to POST /hot-update, by HTTP status
}

func newTally(auth authorizer, book *book) *tally {
	_, isOpen := auth.(open)
	return &tally{open: isOpen, book: book, answers: map[int]uint64{}}
}

// count notes one answer.
func (t *tally) count(status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers[status]++
}

func (t *tally) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	page := t.book.snapshot()
	gauge(w, "hotpatch_sidecar_open", "1 if the config has no auth, so that anyone who reaches the port can replace files.", number(t.open))
	gauge(w, "hotpatch_sidecar_unstored", "1 while a result is not stored in the cluster yet.", number(page.unstored()))
	gauge(w, "hotpatch_sidecar_files", "Files that were put in place here.", len(page.observed()))
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprint(w, "# HELP hotpatch_sidecar_answers_total Answers to POST /hot-update, by HTTP status.\n# TYPE hotpatch_sidecar_answers_total counter\n")
	for _, status := range slices.Sorted(maps.Keys(t.answers)) {
		fmt.Fprintf(w, "hotpatch_sidecar_answers_total{code=\"%d\"} %d\n", status, t.answers[status])
	}
}

func gauge(w http.ResponseWriter, name, help string, value int) {
	fmt.Fprintf(w, "# HELP %[1]s %[2]s\n# TYPE %[1]s gauge\n%[1]s %[3]d\n", name, help, value)
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
