package sidecar

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// apiServer answers as the real one does to the sidecar's few calls, and fails
// on demand; the real one is used in the tests on the cluster.
type apiServer struct {
	account string // ServiceAccount directory

	mu          sync.Mutex
	annotations map[string]string
	configMaps  map[string]map[string]string // by "namespace/name"
	pods        map[string]string            // of the namespace default: a pod's metadata as JSON
	clusterWide bool                         // pods of other namespaces may be read; there are none
	fail        map[string]int               // by "METHOD resource": the code to answer
	calls       map[string]int
}

func startAPI(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{account: t.TempDir(), annotations: map[string]string{}, configMaps: map[string]map[string]string{}, pods: map[string]string{}, fail: map[string]int{}, calls: map[string]int{}}
	server := httptest.NewTLSServer(s)
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, content := range map[string][]byte{"/ca.crt": ca, "/token": []byte("pod-token\n"), "/namespace": []byte("default")} {
		if err := os.WriteFile(s.account+name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	return s
}

func (s *apiServer) annotation(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.annotations[key]
}

func (s *apiServer) key() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configMaps["kube-system/sidecar-result"]["default-game-0"]
}

// failing makes a call fail; code 0 lets it work again.
func (s *apiServer) failing(call string, code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[call] = code
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	resource := "tokenreviews"
	for _, name := range []string{"pods", "configmaps"} {
		if strings.Contains(r.URL.Path, "/"+name) {
			resource = name
		}
	}
	s.calls[r.Method+" "+resource]++
	if code := s.fail[r.Method+" "+resource]; code != 0 {
		status(w, code, "failing as told")
		return
	}
	if r.Header.Get("Authorization") != "Bearer pod-token" {
		status(w, 401, "Unauthorized")
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.act(w, r.Method+" "+r.URL.Path, body)
}

func (s *apiServer) act(w http.ResponseWriter, call string, body []byte) {
	var in struct {
		Metadata struct {
			Name        string
			Annotations map[string]string
		}
		Data map[string]*string
		Spec struct{ Token string }
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&in); err != nil && len(body) > 0 {
		status(w, 400, err.Error())
		return
	}
	method, path, _ := strings.Cut(call, " ")
	elements := strings.Split(strings.TrimPrefix(path, "/api/v1/namespaces/"), "/")
	switch {
	case call == "PATCH /api/v1/namespaces/default/pods/game-0":
		for k, v := range in.Metadata.Annotations {
			s.annotations[k] = v
		}
	case method == "GET" && strings.HasPrefix(path, "/api/v1/namespaces/default/pods/"):
		s.pod(w, elements[2])
		return
	case method == "GET" && s.clusterWide && len(elements) == 3 && elements[1] == "pods":
		status(w, 404, "pods \""+elements[2]+"\" not found")
		return
	case method == "POST" && len(elements) == 2 && elements[1] == "configmaps":
		s.configMaps[elements[0]+"/"+in.Metadata.Name] = map[string]string{}
	case len(elements) == 3 && elements[1] == "configmaps":
		s.keys(w, method, elements[0]+"/"+elements[2], in.Data)
		return
	case call == "POST /apis/authentication.k8s.io/v1/tokenreviews":
		review(w, in.Spec.Token)
		return
	default:
		status(w, 403, call+" is forbidden")
		return
	}
	fmt.Fprint(w, "{}")
}

func (s *apiServer) pod(w http.ResponseWriter, name string) {
	metadata, ok := s.pods[name]
	if !ok {
		status(w, 404, "pods \""+name+"\" not found")
		return
	}
	fmt.Fprintf(w, `{"metadata":%s}`, metadata)
}

func (s *apiServer) keys(w http.ResponseWriter, method, name string, patch map[string]*string) {
	data, ok := s.configMaps[name]
	if !ok {
		status(w, 404, "configmaps \""+name+"\" not found")
		return
	}
	for k, v := range patch {
		if v == nil {
			delete(data, k)
		} else {
			data[k] = *v
		}
	}
	json.NewEncoder(w).Encode(map[string]any{"data": data})
}

// review knows tokens of the form "good USER" and "elsewhere USER".
func review(w http.ResponseWriter, token string) {
	kind, user, _ := strings.Cut(token, " ")
	answer := map[string]any{"authenticated": kind == "good" || kind == "elsewhere", "user": map[string]string{"username": user}}
	if kind == "good" {
		answer["audiences"] = []string{"hotpatch-sidecar"}
	}
	json.NewEncoder(w).Encode(map[string]any{"status": answer})
}

func status(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": message, "code": code})
}
