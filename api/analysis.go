package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Analysis is something that is measured, and judged, in the course of a rollout.
// It is over when Count measurements were taken, or as soon as too many failed or
// said nothing.
type Analysis struct {
	// Name, by which the status calls it.
	Name string `json:"name"`
	// When it is taken: before the first pod, between batches of pods, after the
	// last one, or of each pod that has changed. That of a step is taken there.
	When []Moment `json:"when,omitempty"`

	// What is measured: one of these.
	HTTP       *HTTPMeasure       `json:"http,omitempty"`
	Prometheus *PrometheusMeasure `json:"prometheus,omitempty"`
	Exec       *ExecMeasure       `json:"exec,omitempty"`
	Kubernetes *KubernetesMeasure `json:"kubernetes,omitempty"`

	// Success and Failure are conditions over result, in CEL. A measurement is
	// good if Success holds, bad if Failure does, and inconclusive if neither; of
	// one that is not given, the opposite of the other is taken. Without any, an
	// answer 2xx or an exit code of 0 is good.
	Success string `json:"success,omitempty"`
	Failure string `json:"failure,omitempty"`

	// Interval between two measurements: "30s". Default 10s.
	Interval string `json:"interval,omitempty"`
	// Count of measurements to take; default 1.
	Count int `json:"count,omitempty"`
	// FailureLimit is how many may be bad, InconclusiveLimit how many may say
	// nothing; default 0.
	FailureLimit      int `json:"failureLimit,omitempty"`
	InconclusiveLimit int `json:"inconclusiveLimit,omitempty"`
	// Timeout of one measurement; default 10s.
	Timeout string `json:"timeout,omitempty"`
}

// Moment is when an analysis is taken.
type Moment string

// The moments.
const (
	MomentBefore  Moment = "before"
	MomentBetween Moment = "between"
	MomentAfter   Moment = "after"
	MomentPod     Moment = "pod"
	// MomentStep is that of an analysis which is a step; nobody writes it.
	MomentStep Moment = "step"
)

var moments = []Moment{MomentBefore, MomentBetween, MomentAfter, MomentPod}

// PodNameVariable stands for the name of the pod that is judged.
const PodNameVariable = "$(POD_NAME)"

// HTTPMeasure is a request, to a URL or to a port of the pod that is judged. The
// result is the answer's JSON, or its text if it is none.
type HTTPMeasure struct {
	// Method is GET (the default) or POST.
	Method string `json:"method,omitempty"`
	// URL, or:
	URL string `json:"url,omitempty"`
	// Port and Path of the pod itself; default path "/".
	Port int    `json:"port,omitempty"`
	Path string `json:"path,omitempty"`
	// Body in JSON that is posted.
	Body string `json:"body,omitempty"`
	// Credentials to send to URL, by the name under which the reconciler has them.
	Credentials string `json:"credentials,omitempty"`
}

// PrometheusMeasure is an instant query. The result is a number for a scalar, and
// a list of numbers for a vector.
type PrometheusMeasure struct {
	// Address of the server: "http://prometheus.monitoring:9090".
	Address string `json:"address"`
	Query   string `json:"query"`
	// Credentials to send, by the name under which the reconciler has them.
	Credentials string `json:"credentials,omitempty"`
}

// ExecMeasure is a command in a container of the pod that is judged. The result has
// exitCode and stdout.
type ExecMeasure struct {
	Container string   `json:"container"`
	Command   []string `json:"command"`
}

// KubernetesMeasure is an object of the HotPatch's namespace, or a field of it.
type KubernetesMeasure struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	// Field by its path, "status.readyReplicas"; none: the whole object.
	Field string `json:"field,omitempty"`
}

// Limits of analyses.
const (
	maxAnalyses   = 16
	maxCount      = 1000
	maxExpression = 1024
	maxInterval   = time.Hour
	maxTimeout    = time.Minute
)

// Every is Interval. Validate has refused what is none.
func (a Analysis) Every() time.Duration { return durationOr(a.Interval, 10*time.Second) }

// Within is Timeout.
func (a Analysis) Within() time.Duration { return durationOr(a.Timeout, 10*time.Second) }

// Takes is Count.
func (a Analysis) Takes() int { return max(1, a.Count) }

// At tells whether it is taken at a moment.
func (a Analysis) At(m Moment) bool { return slices.Contains(a.When, m) }

func durationOr(text string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return otherwise
}

func (v *validation) analyses(list []Analysis) {
	v.check(len(list) <= maxAnalyses, "spec.rollout.analysis", "want at most %d, got %d", maxAnalyses, len(list))
	seen := map[string]bool{}
	for i, a := range list {
		field := fmt.Sprintf("spec.rollout.analysis[%d]", i)
		v.check(!seen[a.Name], field+".name", "%q stands here twice", a.Name)
		seen[a.Name] = true
		v.moments(field+".when", a)
		v.analysis(field, a)
	}
}

func (v *validation) analysis(field string, a Analysis) {
	v.check(namePattern.MatchString(a.Name), field+".name", "want a lower case DNS name, got %q", a.Name)
	v.measure(field, a)
	v.limits(field, a)
}

// step checks the analysis that is a step: it is taken once, of no pod.
func (v *validation) step(field string, a Analysis) {
	v.check(len(a.When) == 0, field+".when", "does not belong here: it is taken when the rollout comes to this step")
	why := a.needsPod()
	v.check(why == "", field, "%s, and a step is measured for all of them; such an analysis stands in spec.rollout.analysis with when: [pod]", why)
	v.analysis(field, a)
}

func (v *validation) moments(field string, a Analysis) {
	v.check(len(a.When) > 0, field, "is missing: give some of %s", words(moments))
	for i, m := range a.When {
		v.check(slices.Contains(moments, m), fmt.Sprintf("%s[%d]", field, i), "want one of %s, got %q", words(moments), m)
		v.check(!slices.Contains(a.When[:i], m), fmt.Sprintf("%s[%d]", field, i), "%q stands here twice", m)
	}
	why := a.needsPod()
	v.check(why == "" || len(a.When) == 1 && a.When[0] == MomentPod, field, "want [pod] alone: %s", why)
}

// needsPod says why it can only be taken of a pod; "" if it need not be.
func (a Analysis) needsPod() string {
	switch {
	case a.Exec != nil:
		return "exec is run in a pod"
	case a.HTTP != nil && a.HTTP.Port != 0:
		return "http.port is one of a pod"
	case a.names(PodNameVariable):
		return PodNameVariable + " is the name of a pod"
	}
	return ""
}

// names tells whether a text stands somewhere in what is measured.
func (a Analysis) names(text string) bool {
	return a.HTTP != nil && strings.Contains(a.HTTP.URL, text) || a.Prometheus != nil && strings.Contains(a.Prometheus.Query, text) ||
		a.Kubernetes != nil && strings.Contains(a.Kubernetes.Name, text)
}

func (v *validation) measure(field string, a Analysis) {
	kinds := 0
	for _, given := range []bool{a.HTTP != nil, a.Prometheus != nil, a.Exec != nil, a.Kubernetes != nil} {
		if given {
			kinds++
		}
	}
	v.check(kinds == 1, field, "give one of http, prometheus, exec and kubernetes")
	if a.HTTP != nil {
		v.httpMeasure(field+".http", *a.HTTP)
	}
	if p := a.Prometheus; p != nil {
		v.webAddress(field+".prometheus.address", p.Address)
		v.check(p.Query != "", field+".prometheus.query", "is missing")
		v.credentials(field+".prometheus.credentials", p.Credentials)
	}
	if e := a.Exec; e != nil {
		v.check(e.Container != "", field+".exec.container", "is missing")
		v.check(len(e.Command) > 0, field+".exec.command", "is missing")
	}
	if k := a.Kubernetes; k != nil {
		v.check(k.APIVersion != "" && k.Kind != "" && k.Name != "", field+".kubernetes", "want apiVersion, kind and name")
		v.check(k.Kind != "Secret", field+".kubernetes.kind", "no Secret is read")
	}
	judged := a.Success != "" || a.Failure != ""
	v.check(judged || a.Prometheus == nil && a.Kubernetes == nil, field, "give success or failure, a condition such as %q", "result < 0.05")
}

func (v *validation) httpMeasure(field string, h HTTPMeasure) {
	v.check(h.Method == "" || h.Method == "GET" || h.Method == "POST", field+".method", "want GET or POST, got %q", h.Method)
	v.check((h.URL == "") != (h.Port == 0), field, "give either url, or port of the pod")
	v.check(h.Body == "" || h.Method == "POST", field+".body", "is posted, but the method is not POST")
	v.credentials(field+".credentials", h.Credentials)
	v.check(h.Credentials == "" || h.Port == 0, field+".credentials", "go to a url alone, not to pods")
	if h.URL != "" {
		v.webAddress(field+".url", h.URL)
		v.check(h.Path == "", field+".path", "belongs to port; url has its own")
		return
	}
	v.check(0 <= h.Port && h.Port < 65536, field+".port", "want a port, got %d", h.Port)
	v.check(h.Path == "" || strings.HasPrefix(h.Path, "/"), field+".path", "want a path that begins with /, got %q", h.Path)
}

func (v *validation) credentials(field, name string) {
	v.check(name == "" || namePattern.MatchString(name), field, "want the name of credentials that the reconciler has, such as prometheus, got %q", name)
}

func (v *validation) webAddress(field, text string) {
	u, err := url.Parse(text)
	v.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", field, "want an http or https URL")
	v.check(err != nil || u.User == nil, field, "must not hold credentials")
}

func (v *validation) limits(field string, a Analysis) {
	for _, d := range []struct {
		name, text string
		most       time.Duration
	}{{"interval", a.Interval, maxInterval}, {"timeout", a.Timeout, maxTimeout}} {
		given, err := time.ParseDuration(d.text)
		v.check(d.text == "" || err == nil && time.Second <= given && given <= d.most, field+"."+d.name, "want 1s to %s, such as 30s, got %q", d.most, d.text)
	}
	v.check(0 <= a.Count && a.Count <= maxCount, field+".count", "want 1 to %d, got %d", maxCount, a.Count)
	v.check(0 <= a.FailureLimit && a.FailureLimit < a.Takes(), field+".failureLimit", "want less than count %d, or nothing could fail, got %d", a.Takes(), a.FailureLimit)
	v.check(0 <= a.InconclusiveLimit && a.InconclusiveLimit < a.Takes(), field+".inconclusiveLimit", "want less than count %d, got %d", a.Takes(), a.InconclusiveLimit)
	for _, e := range [][2]string{{"success", a.Success}, {"failure", a.Failure}} {
		v.check(len(e[1]) <= maxExpression, field+"."+e[0], "has %d characters; want at most %d", len(e[1]), maxExpression)
	}
}
