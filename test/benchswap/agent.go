package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/test/stage"
)

const agentSelector = "app.kubernetes.io/name=hotpatch-agent"

// steps are the agent's sums of what each step took, with their counts.
type steps map[string]struct {
	sum   float64
	count uint64
}

// metrics reads those of the agent.
func (b *bench) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	agents, err := b.Kube.CoreV1().Pods(stage.System).List(ctx, metav1.ListOptions{LabelSelector: agentSelector})
	if err != nil || len(agents.Items) == 0 {
		return nil, fmt.Errorf("find the agent: %w", err)
	}
	pod := agents.Items[0]
	port := int32(0)
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			port = p.ContainerPort
		}
	}
	text, err := stage.Get(ctx, fmt.Sprintf("http://%s:%d/metrics", pod.Status.PodIP, port))
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(strings.NewReader(text))
}

// figures are the steps of the agent's swaps so far.
func (b *bench) figures(ctx context.Context) (steps, error) {
	families, err := b.metrics(ctx)
	if err != nil {
		return nil, err
	}
	out := steps{}
	for _, m := range families["hotpatch_agent_step_seconds"].GetMetric() {
		of := out[m.GetLabel()[0].GetValue()]
		of.sum, of.count = m.GetHistogram().GetSampleSum(), m.GetHistogram().GetSampleCount()
		out[m.GetLabel()[0].GetValue()] = of
	}
	return out, nil
}

// since is the mean of each step between two readings.
func (s steps) since(before steps) map[string]time.Duration {
	means := map[string]time.Duration{}
	for name, now := range s {
		if n := now.count - before[name].count; n > 0 {
			means[name] = time.Duration((now.sum - before[name].sum) / float64(n) * float64(time.Second))
		}
	}
	return means
}

// line is what the agent logs of one swap.
type line struct {
	threads        int
	stopped, total time.Duration
}

var swapLine = regexp.MustCompile(`swap to \S+: (\d+) threads stopped for (\S+), (\S+) in all`)

func (b *bench) logged(ctx context.Context, since time.Time) (lines []line, err error) {
	out, err := b.Kubectl(ctx, "-n", stage.System, "logs", "-l", agentSelector, "-c", "agent", "--tail=-1", "--since-time="+since.UTC().Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	for _, match := range swapLine.FindAllStringSubmatch(out, -1) {
		var l line
		if _, err := fmt.Sscan(match[1], &l.threads); err != nil {
			return nil, err
		}
		if l.stopped, err = time.ParseDuration(match[2]); err != nil {
			return nil, err
		}
		if l.total, err = time.ParseDuration(match[3]); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}
