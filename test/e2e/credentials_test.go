package e2e

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// mountCredentials has the reconciler find a Secret, as docs/gates.md says.
const mountCredentials = `[
{"op":"add","path":"/spec/template/spec/volumes/-","value":{"name":"analysis-e2e","secret":{"secretName":"analysis-e2e"}}},
{"op":"add","path":"/spec/template/spec/containers/0/volumeMounts/-","value":{"name":"analysis-e2e","mountPath":"/etc/hotpatch/analysis/e2e","readOnly":true}}]`

const unmountCredentials = `{"spec":{"template":{"spec":{
"volumes":[{"name":"analysis-e2e","$patch":"delete"}],
"containers":[{"name":"reconciler","volumeMounts":[{"mountPath":"/etc/hotpatch/analysis/e2e","$patch":"delete"}]}]}}}}`

// What is measured may ask who wants to know: the reconciler tells whom its Secret
// names, and nobody else.
func TestGatesHaveCredentials(t *testing.T) {
	s := open(t)
	guarded := s.guarded("a-token-of-e2e")
	s.secret(stage.System, "analysis-e2e", map[string]string{"hosts": guarded.host, "token": "a-token-of-e2e"})
	t.Cleanup(func() { s.changeReconciler("patch", reconcilers, "--type=strategic", "-p", unmountCredentials) })
	s.changeReconciler("patch", reconcilers, "--type=json", "-p", mountCredentials)

	gates := fmt.Sprintf(`  rollout:
    analysis:
    - {name: lobby, when: [before], http: {url: "http://%[1]s/lobby", credentials: e2e}, success: result.matches > 0}
    - {name: errors, when: [between], prometheus: {address: "http://%[1]s", query: errors, credentials: e2e}, success: "result[0] < 0.05"}
`, guarded.host)
	s.edit(stage.Images, "newTag: v1", "newTag: v2")
	s.edit(stage.Policy, "  rollout:\n", gates)
	s.push("Release v2, watched by those who ask who wants to know")
	s.settled("game-server", api.PhaseComplete, 8, 8)
	if served, refused := guarded.counts(); served < 2 || refused > 0 {
		t.Errorf("%d measurements were answered and %d refused, want both gates to be answered at once", served, refused)
	}

	elsewhere := s.guarded("a-token-of-e2e")
	s.edit(stage.Images, "newTag: v2", "newTag: v3")
	s.must(s.repo.Replace(stage.Policy, "http://"+guarded.host+"/lobby", "http://"+elsewhere.host+"/lobby"))
	s.push("Release v3, and have the token sent elsewhere")
	status := s.settled("game-server", api.PhasePaused, 0, 8)
	if err := contains(status.Message, "credentials e2e are not for "+elsewhere.host); err != nil {
		t.Error(err)
	}
	if served, refused := elsewhere.counts(); served+refused > 0 {
		t.Errorf("another server was asked %d times", served+refused)
	}
}

// guarded answers who has the token, as a game's lobby and as Prometheus do.
type guarded struct {
	host, token     string
	mu              sync.Mutex
	served, refused int
}

func (s *scene) guarded(token string) *guarded {
	s.Helper()
	listener, err := net.Listen("tcp", "10.246.0.1:0")
	s.must(err)
	g := &guarded{host: listener.Addr().String(), token: token}
	server := &http.Server{Handler: g}
	go server.Serve(listener)
	s.Cleanup(func() { server.Close() })
	return g
}

func (g *guarded) counts() (served, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.served, g.refused
}

func (g *guarded) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if in.Header.Get("Authorization") != "Bearer "+g.token {
		g.refused++
		http.Error(out, "who wants to know?", http.StatusUnauthorized)
		return
	}
	g.served++
	out.Header().Set("Content-Type", "application/json")
	if in.URL.Path == "/lobby" {
		fmt.Fprint(out, `{"matches": 3}`)
		return
	}
	fmt.Fprint(out, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1764547200,"0.01"]}]}}`)
}
