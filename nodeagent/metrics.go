package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// metrics are the agent's own, on a registry of its own.
type metrics struct {
	registry *prometheus.Registry
	swaps    *prometheus.CounterVec
	total    prometheus.Histogram
	stopped  prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		swaps: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hotpatch_agent_swaps_total",
			Help: "Swaps of a container's root, by what was done (swap, restore) and how it ended (ok, failed)."}, []string{"do", "result"}),
		total: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hotpatch_agent_swap_seconds",
			Help: "Time of a whole swap, without the pull.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 10)}),
		stopped: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hotpatch_agent_stopped_seconds",
			Help: "Time a container's processes stood still in a swap.", Buckets: prometheus.ExponentialBuckets(0.0002, 2, 12)}),
	}
	m.registry.MustRegister(m.swaps, m.total, m.stopped, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) swapped(do move, r swap.Result, err error) {
	result := "ok"
	if err != nil {
		result = "failed"
	}
	m.swaps.WithLabelValues(string(do), result).Inc()
	m.total.Observe(r.Total.Seconds())
	if r.StopTime > 0 {
		m.stopped.Observe(r.StopTime.Seconds())
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
