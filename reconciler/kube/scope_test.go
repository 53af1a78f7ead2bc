package kube

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/api"
)

// answers are what an API server says to a GET; "" that it is forbidden.
type answers map[string]string

func (a answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body, ok := a[r.URL.Path]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		body = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`
	case body == "":
		w.WriteHeader(http.StatusForbidden)
		body = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`
	}
	fmt.Fprint(w, body)
}

const (
	group     = "/apis/games.example.org/v1"
	resources = `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"games.example.org/v1","resources":[
		{"name":"fleets","singularName":"fleet","namespaced":true,"kind":"Fleet","verbs":["get"]}%s]}`
	withScale = `,{"name":"fleets/scale","namespaced":true,"group":"autoscaling","version":"v1","kind":"Scale","verbs":["get"]}`
)

// connect to a server that has fleets, with a scale or without.
func connect(t *testing.T, scale string, objects answers) *Cluster {
	t.Helper()
	all := answers{
		"/api":  `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"games.example.org","versions":[{"groupVersion":"games.example.org/v1","version":"v1"}],"preferredVersion":{"groupVersion":"games.example.org/v1","version":"v1"}}]}`,
		group:   fmt.Sprintf(resources, scale),
	}
	for path, body := range objects {
		all[group+"/namespaces/default/fleets/"+path] = body
	}
	server := httptest.NewServer(all)
	t.Cleanup(server.Close)
	config := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x}}], clusters: [{name: x, cluster: {server: %q}}]}", server.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(config, func(Scope) {})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestScopeIsWhatAWorkloadSaysOfItsPods(t *testing.T) {
	fleet := func(spec string) string {
		return `{"kind":"Fleet","apiVersion":"games.example.org/v1","metadata":{"name":"east","uid":"u7"},"spec":{` + spec + `}}`
	}
	scale := func(status string) string {
		return `{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"east"},"status":{` + status + `}}`
	}
	for name, c := range map[string]struct {
		scale   string
		objects answers
		want    Scope
		wantErr string
	}{
		"its selector":            {withScale, answers{"east": fleet(`"selector":{"matchLabels":{"app":"east"}}`), "east/scale": ""}, Scope{Namespace: "default", Selector: "app=east"}, ""},
		"that of its scale":       {withScale, answers{"east": fleet(""), "east/scale": scale(`"selector":"fleet=east"`)}, Scope{Namespace: "default", Selector: "fleet=east"}, ""},
		"a scale without one":     {withScale, answers{"east": fleet(""), "east/scale": scale(`"replicas":2`)}, Scope{Namespace: "default", Owner: "u7"}, ""},
		"no scale, nor a right":   {"", answers{"east": fleet(""), "east/scale": ""}, Scope{Namespace: "default", Owner: "u7"}, ""},
		"no right to its scale":   {withScale, answers{"east": fleet(""), "east/scale": ""}, Scope{}, "give its ServiceAccount `get` on that kind's scale"},
		"no right to it":          {withScale, answers{"east": ""}, Scope{}, "give its ServiceAccount `get` on that kind:"},
		"no such object":          {withScale, answers{}, Scope{}, "there is no Fleet east in namespace default"},
		"a selector out of shape": {withScale, answers{"east": fleet(`"selector":{"matchExpressions":[{"key":"a","operator":"Near"}]}`)}, Scope{}, "Fleet east in namespace default: spec.selector"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := connect(t, c.scale, c.objects).Scope(t.Context(), "default", api.Target{APIVersion: "games.example.org/v1", Kind: "Fleet", Name: "east"})
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Errorf("%+v, %v, want an error with %q", got, err, c.wantErr)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}
