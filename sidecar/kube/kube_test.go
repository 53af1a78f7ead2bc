package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script answers one call after another and keeps what was asked.
type script struct {
	answers []string // "CODE body"
	asked   []string // "METHOD path body token"
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.asked = append(s.asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, body, r.Header.Get("Authorization")))
	if len(s.answers) == 0 {
		http.Error(w, "not in the script", http.StatusTeapot)
		return
	}
	var code int
	fmt.Sscan(s.answers[0], &code)
	body = []byte(strings.TrimSpace(strings.TrimPrefix(s.answers[0], fmt.Sprint(code))))
	s.answers = s.answers[1:]
	w.WriteHeader(code)
	w.Write(body)
}

func client(t *testing.T, answers ...string) (*Client, *script, string) {
	t.Helper()
	s := &script{answers: answers}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret-1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return New(server.URL, token, nil), s, token
}

func TestTokenIsReadAgain(t *testing.T) {
	c, s, token := client(t, "200 {}", "200 {}")
	for _, want := range []string{"secret-1", "secret-2"} {
		if err := c.Annotate(t.Context(), Pod{Namespace: "n", Name: "p", UID: "u"}, map[string]string{"a": "b"}); err != nil {
			t.Fatal(err)
		}
		got := s.asked[len(s.asked)-1]
		if got != `PATCH /api/v1/namespaces/n/pods/p {"metadata":{"annotations":{"a":"b"},"uid":"u"}} Bearer `+want {
			t.Error(got)
		}
		os.WriteFile(token, []byte("secret-2"), 0o600)
	}
}

func TestSetKeysMakesTheConfigMap(t *testing.T) {
	m, v := ConfigMap{Namespace: "n", Name: "m"}, "v"
	c, s, _ := client(t, "404 {}", "201 {}", "200 {}")
	err := c.SetKeys(t.Context(), m, map[string]*string{"k": &v, "gone": nil})
	if err != nil || !strings.HasPrefix(s.asked[1], "POST /api/v1/namespaces/n/configmaps {") || !strings.HasPrefix(s.asked[2], `PATCH /api/v1/namespaces/n/configmaps/m {"data":{"gone":null,"k":"v"}} `) {
		t.Error(err, s.asked)
	}
	c, s, _ = client(t, "404 {}", "409 {}", "200 {}") // another sidecar made it
	if err := c.SetKeys(t.Context(), m, map[string]*string{"k": &v}); err != nil || len(s.asked) != 3 {
		t.Error(err, s.asked)
	}
	c, _, _ = client(t, "404 {}")
	if keys, err := c.Keys(t.Context(), m); err != nil || len(keys) > 0 {
		t.Error(keys, err)
	}
}

// A pod of a Deployment is the Deployment's, not its ReplicaSet's.
func TestOwner(t *testing.T) {
	for metadata, want := range map[string]Owner{
		`{}`: {"Pod", "p"},
		`{"ownerReferences":[{"kind":"StatefulSet","name":"game","controller":true}]}`:                                         {"StatefulSet", "game"},
		`{"ownerReferences":[{"kind":"Other","name":"x"},{"kind":"GameServerSet","name":"game","controller":true}]}`:           {"GameServerSet", "game"},
		`{"labels":{"pod-template-hash":"5d9"},"ownerReferences":[{"kind":"ReplicaSet","name":"game-5d9","controller":true}]}`: {"Deployment", "game"},
		`{"labels":{"pod-template-hash":"5d9"},"ownerReferences":[{"kind":"ReplicaSet","name":"game-zzz","controller":true}]}`: {"ReplicaSet", "game-zzz"},
		`{"ownerReferences":[{"kind":"ReplicaSet","name":"game-5d9","controller":true}]}`:                                      {"ReplicaSet", "game-5d9"},
	} {
		c, _, _ := client(t, `200 {"metadata":`+metadata+`}`)
		if got, err := c.Owner(t.Context(), Pod{Namespace: "n", Name: "p"}); err != nil || got != want {
			t.Errorf("%s: %v %v", metadata, got, err)
		}
	}
	c, _, _ := client(t, `404 {"message":"no"}`)
	if _, err := c.Owner(t.Context(), Pod{Namespace: "n", Name: "p"}); !NotFound(err) {
		t.Error(err)
	}
}

func TestPassingFailuresAreRetriedOthersNot(t *testing.T) {
	m := ConfigMap{Namespace: "n", Name: "m"}
	c, s, _ := client(t, "500 x", "429 x", "503 x", `200 {"data":{"k":"v"}}`)
	if keys, err := c.Keys(t.Context(), m); err != nil || keys["k"] != "v" || len(s.asked) != 4 {
		t.Error(keys, err, s.asked)
	}
	c, s, _ = client(t, `403 {"message":"configmaps \"m\" is forbidden"}`)
	_, err := c.Keys(t.Context(), m)
	if err == nil || len(s.asked) != 1 || err.Error() != `read ConfigMap n/m: the API server answered 403: configmaps "m" is forbidden` {
		t.Error(err, s.asked)
	}
	c, s, _ = client(t, "500 a", "500 b", "500 c", "500 d")
	if _, err = c.Keys(t.Context(), m); err == nil || len(s.asked) != tries || strings.Contains(err.Error(), "secret") {
		t.Error(err, s.asked)
	}
}

func TestContextEndsRetries(t *testing.T) {
	c, _, _ := client(t, "500 a", "500 b", "500 c", "500 d")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := c.Keys(ctx, ConfigMap{Namespace: "n", Name: "m"}); err == nil || time.Since(start) > time.Second {
		t.Error(err, time.Since(start))
	}
}

// Only a token that was good for our audience names a user.
func TestReview(t *testing.T) {
	for answer, want := range map[string]string{
		`{"status":{"authenticated":true,"audiences":["hotpatch-sidecar"],"user":{"username":"u"}}}`: "u",
		`{"status":{"authenticated":true,"audiences":["other"],"user":{"username":"u"}}}`:            "",
		`{"status":{"authenticated":true,"user":{"username":"u"}}}`:                                  "",
		`{"status":{"error":"bad"}}`: "",
	} {
		c, s, _ := client(t, "201 "+answer)
		if user, err := c.Review(t.Context(), "tok", "hotpatch-sidecar"); err != nil || user != want {
			t.Errorf("%s: %q %v", answer, user, err)
		}
		if !strings.Contains(s.asked[0], `"spec":{"audiences":["hotpatch-sidecar"],"token":"tok"}`) {
			t.Error(s.asked)
		}
	}
}
