package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// execServer speaks to clients as a kubelet does, with the library that it uses.
func execServer(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("container") == "forbidden" {
		no := apierrors.NewForbidden(schema.GroupResource{Resource: "pods/exec"}, "game-0", errors.New("no"))
		answer(w, http.StatusForbidden, no.ErrStatus)
		return
	}
	channels := []wsstream.ChannelType{wsstream.IgnoreChannel, wsstream.WriteChannel, wsstream.IgnoreChannel, wsstream.WriteChannel, wsstream.IgnoreChannel}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{"v5.channel.k8s.io": {Binary: true, Channels: channels}})
	_, streams, err := conn.Open(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	stdout, end := streams[1], streams[3]
	switch command := query["command"]; command[0] {
	case "echo":
		fmt.Fprintln(stdout, strings.Join(command[1:], " "))
		answer(end, 0, metav1.Status{Status: metav1.StatusSuccess})
	case "false":
		answer(end, 0, metav1.Status{Status: metav1.StatusFailure, Reason: "NonZeroExitCode", Details: &metav1.StatusDetails{
			Causes: []metav1.StatusCause{{Type: "ExitCode", Message: "3"}}}})
	case "none":
		answer(end, 0, metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Message: "no such file"})
	default:
		time.Sleep(5 * time.Second)
	}
}

func answer(w interface{ Write([]byte) (int, error) }, code int, status metav1.Status) {
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	text, _ := json.Marshal(status) // plain structs: cannot fail
	if header, ok := w.(http.ResponseWriter); ok {
		header.Header().Set("Content-Type", "application/json")
		header.WriteHeader(code)
	}
	_, _ = w.Write(text)
}

// served is a cluster of which a test answers the requests.
func served(t *testing.T) *Cluster {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/namespaces/default/pods/game-0/exec", execServer)
	mux.HandleFunc("GET /apis/apps/v1/namespaces/default/deployments/game", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "game"}, "status": {"readyReplicas": 3}}`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, apierrors.NewNotFound(schema.GroupResource{Resource: "deployments"}, "x").ErrStatus)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, meta.RESTScopeNamespace)
	return &Cluster{config: config, client: client, workloads: &workloads{client: dyn, mapper: mapper}}
}

func TestCommandsAreRun(t *testing.T) {
	c := served(t)
	for _, e := range []struct {
		container string
		command   []string
		stdout    string
		code      int
		wrong     string
	}{
		{"main", []string{"echo", "ok"}, "ok\n", 0, ""},
		{"main", []string{"echo", strings.Repeat("x", 100)}, strings.Repeat("x", 10), 0, ""},
		{"main", []string{"false"}, "", 3, ""},
		{"main", []string{"none"}, "", 0, "run a command in container main: no such file"},
		{"forbidden", []string{"echo"}, "", 0, "the reconciler may not run commands in pods of namespace default; add components/exec-analysis"},
	} {
		stdout, code, err := c.Exec(t.Context(), "default", "game-0", e.container, e.command, 10)
		if stdout != e.stdout || code != e.code || (err != nil) != (e.wrong != "") || err != nil && !strings.Contains(err.Error(), e.wrong) {
			t.Errorf("%s %v: %q, %d, %v", e.container, e.command, stdout, code, err)
		}
	}
}

func TestCommandEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, _, err := served(t).Exec(ctx, "default", "game-0", "main", []string{"sleep"}, 10)
	if took := time.Since(began); err == nil || took > 3*time.Second {
		t.Errorf("%v after %s", err, took)
	}
}

func TestObjectsAreRead(t *testing.T) {
	c := served(t)
	object, err := c.Object(t.Context(), "default", "apps/v1", "Deployment", "game")
	if err != nil || fmt.Sprint(object["status"]) != "map[readyReplicas:3]" {
		t.Errorf("%v, %v", object, err)
	}
	for kind, want := range map[string]string{"Deployment": "there is no Deployment gone in namespace default", "Fleet": "this cluster has no kind Fleet in apps/v1"} {
		if _, err := c.Object(t.Context(), "default", "apps/v1", kind, "gone"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
