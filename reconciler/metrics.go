package reconciler

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/gates"
)

// metrics are the reconciler's own, in a registry of their own.
type metrics struct {
	registry *prometheus.Registry
	passes   *prometheus.CounterVec
	stages   *prometheus.HistogramVec
	polls    *prometheus.CounterVec
	webhooks *prometheus.CounterVec
	commits  *prometheus.CounterVec
	shown    *prometheus.CounterVec
	work     *prometheus.CounterVec
	pods     *prometheus.GaugeVec
	phases   *prometheus.GaugeVec
	measures *prometheus.HistogramVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		passes:   counters("hotpatch_passes_total", "Passes of the loop, by what asked for them.", "cause"),
		polls:    counters("hotpatch_git_polls_total", "Polls of the Git server: unchanged, changed, refused or failed.", "result"),
		webhooks: counters("hotpatch_webhooks_total", "Deliveries of webhooks: taken, ignored, repeated, refused or failed.", "result"),
		commits:  counters("hotpatch_status_commits_total", "Commits of results to the status branch: pushed, refused or failed.", "result"),
		shown:    counters("hotpatch_commit_statuses_total", "Statuses of commits on the forge: shown or failed.", "result"),
		work:     counters("hotpatch_actions_total", "Writes to pods and calls of sidecars: done or failed.", "action", "result"),
		pods:     gauges("hotpatch_pods", "Pods of each HotPatch: desired, updated, updated_ready, ready, total, deferred.", "namespace", "name", "count"),
		phases:   gauges("hotpatch_phase", "1 for the phase that a HotPatch is in.", "namespace", "name", "phase"),
		stages: histograms("hotpatch_stage_seconds", "Time that each stage of a pass takes.", "stage",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10),
		measures: histograms("hotpatch_measurement_seconds", "Time that measurements of analyses take, by their result: good, bad or unclear.", "result",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60),
	}
	m.registry.MustRegister(m.passes, m.stages, m.polls, m.webhooks, m.commits, m.shown, m.work, m.pods, m.phases, m.measures,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func histograms(name, help, label string, buckets ...float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{label})
}

// measured counts a measurement, with the time that it took.
func (m *metrics) measured(result gates.Outcome, took time.Duration) {
	m.measures.WithLabelValues(result.String()).Observe(took.Seconds())
}

// stage starts to measure a stage; the function it returns ends it.
func (m *metrics) stage(name string) func() {
	start := time.Now()
	return func() { m.stages.WithLabelValues(name).Observe(time.Since(start).Seconds()) }
}

// show publishes the counts and the phase of a HotPatch.
func (m *metrics) show(before, s api.HotPatchStatus) {
	namespace, name := s.Metadata.Namespace, s.Metadata.Name
	if before.Phase != s.Phase {
		m.phases.DeleteLabelValues(namespace, name, string(before.Phase))
		m.phases.WithLabelValues(namespace, name, string(s.Phase)).Set(1)
	}
	set := func(count string, n int) { m.pods.WithLabelValues(namespace, name, count).Set(float64(n)) }
	set("desired", s.Counts.Desired)
	set("updated", s.Counts.Updated)
	set("updated_ready", s.Counts.UpdatedReady)
	set("ready", s.Counts.Ready)
	set("total", s.Counts.Total)
	set("deferred", len(s.Deferred))
}

// forget takes back what was published of a HotPatch that is gone.
func (m *metrics) forget(namespace, name string) {
	of := prometheus.Labels{"namespace": namespace, "name": name}
	m.pods.DeletePartialMatch(of)
	m.phases.DeletePartialMatch(of)
}

// outcome is the result label of everything that either works or does not.
func outcome(err error, good string) string {
	if err != nil {
		return "failed"
	}
	return good
}

// committed is the result label of a commit.
func committed(err error) string {
	if refused := (*gitsource.RefusedError)(nil); errors.As(err, &refused) {
		return "refused"
	}
	return outcome(err, "pushed")
}
