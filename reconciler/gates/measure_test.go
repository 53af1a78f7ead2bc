package gates

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// served is a server that answers by its paths.
func served(t *testing.T) (address string, port int) {
	mux := http.NewServeMux()
	mux.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"players": 7, "errors": 2}`) })
	mux.HandleFunc("/number", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `0.25`) })
	mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok\n") })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "s3cret", http.StatusServiceUnavailable) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxResult+1)) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/stats", http.StatusFound) })
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	_, text, _ := net.SplitHostPort(server.Listener.Addr().String())
	port, _ = strconv.Atoi(text)
	return server.URL, port
}

func TestHTTPIsMeasured(t *testing.T) {
	address, port := served(t)
	m := New(nil, loopback, "")
	get := func(path string) *api.HTTPMeasure { return &api.HTTPMeasure{URL: address + path} }
	own := func(path string) *api.HTTPMeasure { return &api.HTTPMeasure{Port: port, Path: path} }
	nobody := &api.HTTPMeasure{URL: "http://127.0.0.1:1/?token=s3cret"}
	for name, c := range map[string]struct {
		analysis api.Analysis
		want     Outcome
		why      string // in the words
	}{
		"any answer 2xx":          {api.Analysis{HTTP: get("/text")}, Good, ""},
		"JSON":                    {api.Analysis{HTTP: get("/stats"), Success: "result.players > 5"}, Good, ""},
		"text":                    {api.Analysis{HTTP: get("/text"), Success: `result == "ok\n"`}, Good, ""},
		"does not hold":           {api.Analysis{HTTP: get("/stats"), Success: "result.players > 7"}, Bad, "result.players > 7 does not hold"},
		"in several lines":        {api.Analysis{HTTP: get("/stats"), Success: "result.players\n  > 7"}, Bad, "result.players > 7 does not hold"},
		"a number is told":        {api.Analysis{HTTP: get("/number"), Success: "result < 0.05"}, Bad, "result < 0.05 does not hold: it is 0.25"},
		"failure holds":           {api.Analysis{HTTP: get("/stats"), Failure: "result.errors > 1"}, Bad, "result.errors > 1 holds"},
		"failure does not":        {api.Analysis{HTTP: get("/stats"), Failure: "result.errors > 2"}, Good, ""},
		"both":                    {api.Analysis{HTTP: get("/stats"), Success: "true", Failure: "true"}, Bad, "true holds"},
		"neither":                 {api.Analysis{HTTP: get("/stats"), Success: "result.errors < 1", Failure: "result.errors > 2"}, Unclear, "neither success nor failure"},
		"a field is missing":      {api.Analysis{HTTP: get("/stats"), Success: "result.lag < 1"}, Unclear, "no such key: lag"},
		"503":                     {api.Analysis{HTTP: get("/broken")}, Bad, "the server answered 503 Service Unavailable"},
		"nobody answers":          {api.Analysis{HTTP: nobody}, Unclear, "connection refused"},
		"too slow":                {api.Analysis{HTTP: get("/slow"), Timeout: "1s"}, Unclear, "no end after 1s"},
		"too large":               {api.Analysis{HTTP: get("/large")}, Unclear, "larger than 1048576 bytes"},
		"a redirect to metadata":  {api.Analysis{HTTP: get("/away")}, Unclear, "169.254.169.254 is refused: it is a link-local address; to permit it add it to --analysis-allow-addresses"},
		"a redirect":              {api.Analysis{HTTP: get("/moved"), Success: "result.players == 7"}, Good, ""},
		"a body":                  {api.Analysis{HTTP: &api.HTTPMeasure{Method: "POST", URL: address + "/echo", Body: `{"a": 1}`}, Success: "result.a == 1"}, Good, ""},
		"the pod's own port":      {api.Analysis{HTTP: own("/stats"), Success: "result.players == 7"}, Good, ""},
		"the pod is too slow":     {api.Analysis{HTTP: own("/slow"), Timeout: "1s"}, Bad, "no end after 1s"},
		"the pod answers nothing": {api.Analysis{HTTP: &api.HTTPMeasure{Port: 1}}, Bad, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := m.Measure(context.Background(), c.analysis, "default", Pod{"game-0", "127.0.0.1"})
			if got.Outcome != c.want || !strings.Contains(got.Why, c.why) || (got.Why == "") != (c.want == Good) || strings.Contains(got.Why, "s3cret") {
				t.Errorf("%d %q, want %d %q", got.Outcome, got.Why, c.want, c.why)
			}
		})
	}
}

func TestNobodyIsAskedOnThisMachineUnlessAllowed(t *testing.T) {
	address, port := served(t)
	m := New(nil, nil, "")
	for _, h := range []api.HTTPMeasure{{URL: address}, {Port: port}, {URL: strings.Replace(address, "127.0.0.1", "localhost", 1)}, {URL: "http://169.254.169.254/"}} {
		got := m.Measure(t.Context(), api.Analysis{HTTP: &h}, "default", Pod{"game-0", "127.0.0.1"})
		if !strings.Contains(got.Why, "is refused") {
			t.Errorf("%+v: %q", h, got.Why)
		}
	}
}

// kubernetes is what a cluster would answer.
type kubernetes struct {
	code int
	err  error
	hang bool
}

func (k kubernetes) Object(_ context.Context, namespace, _, kind, name string) (map[string]any, error) {
	return map[string]any{"status": map[string]any{"readyReplicas": int64(3), "of": namespace + "/" + kind + "/" + name}}, k.err
}

func (k kubernetes) Exec(ctx context.Context, _, pod, container string, command []string, _ int) (string, int, error) {
	if k.hang {
		<-ctx.Done()
		return "", 0, ctx.Err()
	}
	return fmt.Sprint(pod, container, command), k.code, k.err
}

func TestClusterIsMeasured(t *testing.T) {
	deployment := &api.KubernetesMeasure{APIVersion: "apps/v1", Kind: "Deployment", Name: "of-$(POD_NAME)"}
	field := func(path string) *api.KubernetesMeasure { k := *deployment; k.Field = path; return &k }
	command := &api.ExecMeasure{Container: "main", Command: []string{"check", "-q"}}
	away := errors.New("the API server is away")
	for name, c := range map[string]struct {
		cluster  kubernetes
		analysis api.Analysis
		want     Outcome
		why      string
	}{
		"a field":          {kubernetes{}, api.Analysis{Kubernetes: field("status.readyReplicas"), Success: "result >= 3"}, Good, ""},
		"too few":          {kubernetes{}, api.Analysis{Kubernetes: field("status.readyReplicas"), Success: "result >= 4"}, Bad, "result >= 4 does not hold: it is 3"},
		"the whole object": {kubernetes{}, api.Analysis{Kubernetes: deployment, Success: `result.status.of == "default/Deployment/of-game-0"`}, Good, ""},
		"no such field":    {kubernetes{}, api.Analysis{Kubernetes: field("status.replicas.ready"), Success: "true"}, Unclear, "has no field status.replicas.ready"},
		"API server away":  {kubernetes{err: away}, api.Analysis{Kubernetes: deployment, Success: "true"}, Unclear, "away"},

		"exit code 0":        {kubernetes{}, api.Analysis{Exec: command}, Good, ""},
		"exit code 3":        {kubernetes{code: 3}, api.Analysis{Exec: command}, Bad, "exit code 3"},
		"what it printed":    {kubernetes{code: 3}, api.Analysis{Exec: command, Success: `result.stdout == "game-0main[check -q]" && result.exitCode == 3`}, Good, ""},
		"cannot be run":      {kubernetes{err: away}, api.Analysis{Exec: command}, Unclear, "away"},
		"runs for too long":  {kubernetes{hang: true}, api.Analysis{Exec: command, Timeout: "1s"}, Bad, "no end after 1s"},
		"nothing to measure": {kubernetes{}, api.Analysis{}, Unclear, "measures nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := New(c.cluster, nil, "").Measure(context.Background(), c.analysis, "default", Pod{Name: "game-0"})
			if got.Outcome != c.want || !strings.Contains(got.Why, c.why) {
				t.Errorf("%d %q, want %d %q", got.Outcome, got.Why, c.want, c.why)
			}
		})
	}
}

func TestMeasurementEndsWithItsContext(t *testing.T) {
	address, _ := served(t)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	began := time.Now()
	New(nil, loopback, "").Measure(ctx, api.Analysis{HTTP: &api.HTTPMeasure{URL: address + "/slow"}}, "default", Pod{})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}
