package gates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/guard"
	"hotpatch.dev/hotpatch/internal/plain"
)

// Limits of one answer.
const (
	maxResult = 1 << 20 // bytes
	maxHeader = 64 << 10
	maxWords  = 200
)

// ask makes a request. Whatever else than 2xx is answered speaks against what is
// judged, and so does a pod that does not answer; of another server, that it does not
// says nothing.
func (m *Measurer) ask(ctx context.Context, h api.HTTPMeasure, pod Pod) (any, error) {
	address := h.URL
	if h.Port != 0 {
		if pod.IP == "" {
			return nil, errors.New("the pod has no address")
		}
		path := "/" + strings.TrimPrefix(h.Path, "/")
		address = "http://" + net.JoinHostPort(pod.IP, strconv.Itoa(h.Port)) + path
	}
	a, err := m.request(ctx, h.Method, address, h.Body, h.Credentials)
	switch {
	case err != nil && h.Port != 0:
		return nil, against{err}
	case err != nil:
		return nil, err
	case a.status/100 != 2:
		return nil, against{fmt.Errorf("the server answered %d %s", a.status, http.StatusText(a.status))}
	}
	var result any
	if json.Unmarshal(a.body, &result) != nil {
		return string(a.body), nil
	}
	return result, nil
}

// answer of a server, and what it was asked with.
type answer struct {
	status int
	body   []byte
	with   credential
}

// request returns an answer whole, or an error without the URL: its query may hold
// a secret, as may credentials.
func (m *Measurer) request(ctx context.Context, method, address, body, credentials string) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return a, errors.New("the URL cannot be read")
	}
	if err := guard.CheckURL(req.URL); err != nil {
		return a, err
	}
	if a.with, err = m.credentials.of(credentials, req.URL); err != nil {
		return a, err
	}
	maps.Copy(req.Header, a.with.header)
	req.Header.Set("User-Agent", "hotpatch-reconciler")
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	got, err := a.with.client(m.http).Do(req)
	if err != nil {
		return a, guard.WithoutURL(err)
	}
	defer got.Body.Close()
	a.status = got.StatusCode
	a.body, err = io.ReadAll(io.LimitReader(got.Body, maxResult+1))
	if err == nil && len(a.body) > maxResult {
		err = fmt.Errorf("the answer is larger than %d bytes", maxResult)
	}
	return a, guard.WithoutURL(err)
}

// answered is what Prometheus' HTTP API answers.
type answered struct {
	Status string
	Error  string
	Data   struct {
		ResultType string
		Result     json.RawMessage
	}
}

// sample is a time and a number, which is a string as JSON knows no NaN.
type sample [2]any

func (s sample) number() (float64, error) {
	text, _ := s[1].(string)
	n, err := strconv.ParseFloat(text, 64)
	if err == nil && math.IsNaN(n) {
		err = errors.New("the query gives NaN: there is no data for it")
	}
	return n, err
}

// query asks Prometheus for an instant vector or a scalar.
func (m *Measurer) query(ctx context.Context, p api.PrometheusMeasure) (any, error) {
	address := strings.TrimSuffix(p.Address, "/") + "/api/v1/query?" + url.Values{"query": {p.Query}}.Encode()
	got, err := m.request(ctx, http.MethodGet, address, "", p.Credentials)
	if err != nil {
		return nil, fmt.Errorf("ask Prometheus: %w", err)
	}
	var a answered
	if err := json.Unmarshal(got.body, &a); err != nil {
		return nil, fmt.Errorf("ask Prometheus: the answer %d is no JSON; is the address that of its API?", got.status)
	}
	if a.Status != "success" {
		return nil, fmt.Errorf("ask Prometheus: it answers %d: %s", got.status, plain.Text(got.with.hide(a.Error), maxWords))
	}
	return a.numbers()
}

func (a answered) numbers() (any, error) {
	switch a.Data.ResultType {
	case "scalar":
		var s sample
		if err := json.Unmarshal(a.Data.Result, &s); err != nil {
			return nil, err
		}
		return s.number()
	case "vector":
		var series []struct{ Value sample }
		if err := json.Unmarshal(a.Data.Result, &series); err != nil {
			return nil, err
		}
		numbers := []any{}
		for _, one := range series {
			n, err := one.Value.number()
			if err != nil {
				return nil, err
			}
			numbers = append(numbers, n)
		}
		return numbers, nil
	}
	return nil, fmt.Errorf("the query gives a %s; want a scalar or an instant vector", a.Data.ResultType)
}
