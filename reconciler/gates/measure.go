package gates

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/condition"
	"hotpatch.dev/hotpatch/internal/guard"
)

// Cluster is what measurements ask of Kubernetes; it is *kube.Cluster.
type Cluster interface {
	// Object reads one object of a namespace.
	Object(ctx context.Context, namespace, apiVersion, kind, name string) (map[string]any, error)
	// Exec runs a command in a container. It returns the beginning of what it
	// printed, up to a limit in bytes, and its exit code.
	Exec(ctx context.Context, namespace, pod, container string, command []string, limit int) (stdout string, code int, err error)
}

// Pod is the one that is judged; the zero value: none.
type Pod struct{ Name, IP string }

// Measurer takes measurements. Its methods may be called from several goroutines.
type Measurer struct {
	cluster     Cluster
	http        *http.Client
	credentials Credentials
}

// New is a measurer that connects to no address that a guard refuses, unless it is
// allowed. Proxies of the environment are not used: behind one, nobody could check
// where a name leads.
func New(cluster Cluster, allow []netip.Prefix, credentials Credentials) *Measurer {
	transport := &http.Transport{
		DialContext:            guard.Guard{Allow: allow, Where: "--analysis-allow-addresses"}.Dialer().DialContext,
		MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives:      true, // of many, and seldom
	}
	return &Measurer{cluster: cluster, http: &http.Client{Transport: transport, CheckRedirect: guard.Redirect}, credentials: credentials}
}

// against is an error that speaks against what is judged. Any other only says that
// nothing is known.
type against struct{ error }

// Measure takes one measurement of an analysis in a namespace, of a pod or of none.
// It ends within the analysis' timeout.
func (m *Measurer) Measure(ctx context.Context, a api.Analysis, namespace string, pod Pod) Measured {
	ctx, cancel := context.WithTimeoutCause(ctx, a.Within(), fmt.Errorf("no end after %s", a.Within()))
	defer cancel()
	a = about(a, pod)
	result, err := m.take(ctx, a, namespace, pod)
	switch {
	case err == nil:
		return judge(ctx, a, result)
	case ctx.Err() != nil && ofPod(a): // whoever does not answer in time is not well
		return Measured{Bad, context.Cause(ctx).Error()}
	case ctx.Err() != nil:
		return Measured{Unclear, context.Cause(ctx).Error()}
	case errors.As(err, new(against)):
		return Measured{Bad, err.Error()}
	}
	return Measured{Unclear, err.Error()}
}

// about puts the pod's name where the analysis asks for it.
func about(a api.Analysis, pod Pod) api.Analysis {
	fill := strings.NewReplacer(api.PodNameVariable, pod.Name).Replace
	if a.HTTP != nil {
		h := *a.HTTP
		h.URL = fill(h.URL)
		a.HTTP = &h
	}
	if a.Prometheus != nil {
		p := *a.Prometheus
		p.Query = fill(p.Query)
		a.Prometheus = &p
	}
	if a.Kubernetes != nil {
		k := *a.Kubernetes
		k.Name = fill(k.Name)
		a.Kubernetes = &k
	}
	return a
}

// ofPod: it is the pod itself that is asked.
func ofPod(a api.Analysis) bool { return a.Exec != nil || a.HTTP != nil && a.HTTP.Port != 0 }

func (m *Measurer) take(ctx context.Context, a api.Analysis, namespace string, pod Pod) (any, error) {
	switch {
	case a.HTTP != nil:
		return m.ask(ctx, *a.HTTP, pod)
	case a.Prometheus != nil:
		return m.query(ctx, *a.Prometheus)
	case a.Exec != nil:
		return m.run(ctx, *a.Exec, namespace, pod)
	case a.Kubernetes != nil:
		return m.read(ctx, *a.Kubernetes, namespace)
	}
	return nil, errors.New("it measures nothing") // Validate has refused it
}

func (m *Measurer) run(ctx context.Context, e api.ExecMeasure, namespace string, pod Pod) (any, error) {
	stdout, code, err := m.cluster.Exec(ctx, namespace, pod.Name, e.Container, e.Command, maxResult)
	return map[string]any{"stdout": stdout, "exitCode": code}, err
}

func (m *Measurer) read(ctx context.Context, k api.KubernetesMeasure, namespace string) (any, error) {
	object, err := m.cluster.Object(ctx, namespace, k.APIVersion, k.Kind, k.Name)
	if err != nil || k.Field == "" {
		return object, err
	}
	var value any = object
	for name := range strings.SplitSeq(k.Field, ".") {
		fields, _ := value.(map[string]any)
		found, ok := fields[name]
		if !ok {
			return nil, fmt.Errorf("%s %s has no field %s", k.Kind, k.Name, k.Field)
		}
		value = found
	}
	return value, nil
}

// judge holds a result against the conditions, failure first.
func judge(ctx context.Context, a api.Analysis, result any) Measured {
	fails, err := holds(ctx, a.Failure, result)
	if err != nil {
		return Measured{Unclear, err.Error()}
	}
	succeeds, err := holds(ctx, a.Success, result)
	switch {
	case fails:
		return Measured{Bad, inOneLine(a.Failure) + " holds" + seen(result)}
	case err != nil:
		return Measured{Unclear, err.Error()}
	case succeeds || a.Success == "" && (a.Failure != "" || exited(result) == 0):
		return Measured{Good, ""}
	case a.Success == "":
		return Measured{Bad, fmt.Sprintf("the command ended with exit code %d", exited(result))}
	case a.Failure != "":
		return Measured{Unclear, "neither success nor failure holds" + seen(result)}
	}
	return Measured{Bad, inOneLine(a.Success) + " does not hold" + seen(result)}
}

// inOneLine is a condition as reasons have it, however it was written.
func inOneLine(condition string) string { return strings.Join(strings.Fields(condition), " ") }

// holds tells whether a condition does; one that is not given does not.
func holds(ctx context.Context, text string, result any) (bool, error) {
	if text == "" {
		return false, nil
	}
	c, err := condition.Compile(text)
	if err != nil {
		return false, err
	}
	return c.Holds(ctx, result)
}

// exited is the exit code in a result, 0 if there is none.
func exited(result any) int {
	fields, _ := result.(map[string]any)
	code, _ := fields["exitCode"].(int)
	return code
}

// seen shows a result that is one number, or true or false. Nothing else: the words
// are committed, and what an address within the cluster says may be a secret.
func seen(result any) string {
	if list, ok := result.([]any); ok && len(list) == 1 {
		result = list[0]
	}
	switch result.(type) {
	case float64, int64, int, bool:
		return fmt.Sprintf(": it is %v", result)
	}
	return ""
}
