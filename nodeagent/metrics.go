package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// metrics are the agent's own, on a registry of its own.
type metrics struct {
	registry  *prometheus.Registry
	swaps     *prometheus.CounterVec
	total     prometheus.Histogram
	stopped   prometheus.Histogram
	steps     *prometheus.HistogramVec
	pulls     *prometheus.HistogramVec
	reapplied prometheus.Counter
	early     prometheus.Counter

	mu   sync.Mutex
	left map[string]leftovers // by pod
}

// leftovers of a pod are its processes that still have something of an earlier
// root.
type leftovers struct{ programs, dirs int }

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		swaps: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hotpatch_agent_swaps_total",
			Help: "Swaps of a container's root, by what was done (swap, restore, go back) and how it ended (ok, failed)."}, []string{"do", "result"}),
		total: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hotpatch_agent_swap_seconds",
			Help: "Time of a whole swap, without the pull.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 10)}),
		stopped: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hotpatch_agent_stopped_seconds",
			Help: "Time a container's processes stood still in a swap.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 12)}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hotpatch_agent_step_seconds",
			Help: "Time of each step of a swap.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 7)}, []string{"step"}),
		pulls: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hotpatch_agent_pull_seconds",
			Help: "Time of pulling and unpacking an image, by how it ended (ok, failed).", Buckets: prometheus.ExponentialBuckets(0.1, 3, 8)}, []string{"result"}),
		reapplied: prometheus.NewCounter(prometheus.CounterOpts{Name: "hotpatch_agent_reapplied_total",
			Help: "Containers that were patched again after they restarted."}),
		early: prometheus.NewCounter(prometheus.CounterOpts{Name: "hotpatch_agent_started_patched_total",
			Help: "Containers that restarted on the patched image, before their program began."}),
		left: map[string]leftovers{},
	}
	m.registry.MustRegister(m.swaps, m.total, m.stopped, m.steps, m.pulls, m.reapplied, m.early, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.gauge("hotpatch_agent_old_processes", "Processes that still execute a file of an earlier root.", func(l leftovers) int { return l.programs }),
		m.gauge("hotpatch_agent_stale_directories", "Processes whose working directory, or own root, is on an earlier root.", func(l leftovers) int { return l.dirs }))
	return m
}

// gauge sums something over all pods.
func (m *metrics) gauge(name, help string, of func(leftovers) int) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		sum := 0
		for _, l := range m.left {
			sum += of(l)
		}
		return float64(sum)
	})
}

func (m *metrics) swapped(do move, r swap.Result, err error) {
	m.swaps.WithLabelValues(string(do), ending(err)).Inc()
	m.total.Observe(r.Total.Seconds())
	if r.StopTime > 0 {
		m.stopped.Observe(r.StopTime.Seconds())
	}
	for step, took := range r.Steps {
		m.steps.WithLabelValues(step).Observe(took.Seconds())
	}
}

// pulled is deferred: err is what it ended with.
func (m *metrics) pulled(began time.Time, err *error) {
	m.pulls.WithLabelValues(ending(*err)).Observe(time.Since(began).Seconds())
}

func ending(err error) string {
	if err != nil {
		return "failed"
	}
	return "ok"
}

// observed counts what a pod has left of earlier roots; one that is gone has
// nothing.
func (m *metrics) observed(pod string, o api.Observed) {
	var l leftovers
	for _, c := range o.Containers {
		l.programs += c.OldProcesses
		l.dirs += c.StaleDirs
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left[pod] = l; l == (leftovers{}) {
		delete(m.left, pod)
	}
}

// serve serves metrics until the returned function is called.
func (a *Agent) serve(ctx context.Context) (stop func(), err error) {
	if a.options.Listen == "" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", a.options.Listen)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logging.From(ctx).WithError(err).Error("metrics are no longer served")
		}
	}()
	return func() { server.Close() }, nil
}
