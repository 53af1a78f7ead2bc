// Package kubetest is a Kubernetes API server for tests, over HTTP: as much of one
// as the reconciler's own process asks for. It has the pods of one namespace, which
// are read, listed, watched and annotated, a Deployment for each value of their label app,
// and Leases.
//
// It promises what decisions hang on: versions that grow with each write, watches
// that miss nothing, and writes that hit the very pod, in the very version, that they
// name. Nobody is refused, and no other object is known.
package kubetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Namespace of the pods.
const Namespace = "default"

// Server is the API server.
type Server struct {
	// Kubeconfig is a file that leads there.
	Kubeconfig string
	// Written is called after each write over HTTP to a pod's annotations, with the
	// pod before it and after. May be nil.
	Written func(before, after *corev1.Pod)

	handler http.Handler
	mu      sync.Mutex
	fault   func(w http.ResponseWriter, r *http.Request) bool
	version int
	pods    map[string]*corev1.Pod // by name; never changed, but replaced
	history []change
	news    chan struct{} // closed by the next change
	leases  map[string]*coordinationv1.Lease
}

// New serves these pods until the test ends.
func New(t testing.TB, pods ...*corev1.Pod) *Server {
	t.Helper()
	s := &Server{pods: map[string]*corev1.Pod{}, news: make(chan struct{}), leases: map[string]*coordinationv1.Lease{}}
	for _, pod := range pods {
		s.put(pod)
	}
	s.handler = s.routes()
	listener := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(listener.Close)
	s.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x}}], clusters: [{name: x, cluster: {server: %q}}]}", listener.URL)
	if err := os.WriteFile(s.Kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// Break has writes to pods be handled by a fault, which returns false to have them
// done after all; nil takes it away.
func (s *Server) Break(fault func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Backend is the server without faults.
func (s *Server) Backend() http.Handler { return s.handler }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if r.Method == http.MethodPatch && fault != nil && fault(w, r) {
		return
	}
	s.handler.ServeHTTP(w, r)
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for path, text := range kinds {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, text)
		})
	}
	mux.HandleFunc("GET /apis/apps/v1/namespaces/"+Namespace+"/deployments/{name}", answer(s.deployment))
	mux.HandleFunc("GET /api/v1/namespaces/"+Namespace+"/pods", func(w http.ResponseWriter, r *http.Request) {
		if watched, _ := strconv.ParseBool(r.URL.Query().Get("watch")); watched {
			s.watch(w, r)
		} else {
			answer(s.list)(w, r)
		}
	})
	mux.HandleFunc("GET /api/v1/pods", answer(s.list))
	mux.HandleFunc("GET /api/v1/namespaces/"+Namespace+"/pods/{name}", answer(s.pod))
	mux.HandleFunc("PATCH /api/v1/namespaces/"+Namespace+"/pods/{name}", answer(s.patch))
	leases := "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
	mux.HandleFunc("GET "+leases+"/{name}", answer(s.lease))
	mux.HandleFunc("POST "+leases, answer(s.writeLease))
	mux.HandleFunc("PUT "+leases+"/{name}", answer(s.writeLease))
	return mux
}

// kinds are what clients ask first.
var kinds = map[string]string{
	"/api":          `{"kind":"APIVersions","versions":["v1"]}`,
	"/apis":         `{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}]}`,
	"/api/v1":       `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list","watch","patch"]}]}`,
	"/apis/apps/v1": `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"apps/v1","resources":[{"name":"deployments","singularName":"deployment","namespaced":true,"kind":"Deployment","verbs":["get"]}]}`,
}

// answer says an object, or an error as the API server words it.
func answer(handle func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		object, err := handle(r)
		code := http.StatusOK
		var told apierrors.APIStatus
		if errors.As(err, &told) {
			status := told.Status()
			status.APIVersion, status.Kind = "v1", "Status"
			object, code = status, int(status.Code)
		} else if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(object) // the client may be gone
	}
}
