package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSyncAsksForAPoll(t *testing.T) {
	polls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/moved/trigger":
			http.Redirect(w, r, "/trigger", http.StatusTemporaryRedirect)
		case r.Method != http.MethodPost || r.URL.Path != "/trigger":
			http.NotFound(w, r)
		case r.Header.Get("Authorization") != "Bearer right":
			http.Error(w, "send the trigger's token as Authorization: Bearer …", http.StatusUnauthorized)
		default:
			polls++
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	for name, token := range map[string]string{"right": "right\n", "wrong": "wrong"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		url, token string
		exit       int
		words      string
		polls      int
	}{
		{server.URL, "right", exitOK, "polls now", 1},
		{server.URL + "/", "right", exitOK, "polls now", 1},
		{server.URL, "wrong", exitFailed, "401 Unauthorized: send the trigger's token", 0},
		{server.URL, "none", exitFailed, "no such file", 0},
		{server.URL + "/moved", "right", exitFailed, "307", 0},
		{"http://127.0.0.1:1", "right", exitFailed, "polls by its schedule alone", 0},
		{"ftp://x", "right", exitFailed, "is no URL of a reconciler", 0},
		{"", "right", exitFailed, "is no URL of a reconciler", 0},
	} {
		polls = 0
		var out bytes.Buffer
		s := Streams{Out: &out, Err: &out, Program: "hotpatch"}
		args := []string{"sync", "--token-file", filepath.Join(dir, c.token)}
		if c.url != "" {
			args = append(args, c.url)
		}
		exit := exitCode(s, Run(t.Context(), s, args))
		if exit != c.exit || !strings.Contains(out.String(), c.words) || polls != c.polls {
			t.Errorf("%q with the token %s: exit %d, %d polls: %s", c.url, c.token, exit, polls, out.String())
		}
	}
}
