package reconciler

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube"
)

// outliving is an obedient cluster that a test serves to reconcilers in processes of
// their own. It remembers who was ever told what.
type outliving struct {
	*obedient
	ever     map[string]map[string]bool // pods, by revision
	repeated []string                   // what pods were told that they had been told already
}

type write struct {
	Ref         kube.Ref
	Annotations map[string]*string
}

// serve returns the cluster's address.
func (o *outliving) serve(t *testing.T) string {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		pods, _ := o.Pods(kube.Scope{})
		_ = json.NewEncoder(w).Encode(pods) // nobody listens any more
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		var asked write
		err := json.NewDecoder(r.Body).Decode(&asked)
		if err == nil {
			o.remember(asked)
			err = o.Annotate(r.Context(), asked.Ref, asked.Annotations)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func (o *outliving) remember(asked write) {
	text := asked.Annotations[api.DesiredAnnotation]
	var desired api.Desired
	if text == nil || json.Unmarshal([]byte(*text), &desired) != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.pods {
		if p.Ref.Name == asked.Ref.Name && p.Desired.Revision == desired.Revision {
			o.repeated = append(o.repeated, p.Ref.Name+" "+desired.Revision)
		}
	}
	if o.ever[desired.Revision] == nil {
		o.ever[desired.Revision] = map[string]bool{}
	}
	o.ever[desired.Revision][asked.Ref.Name] = true
}

// reached is how many pods were ever told of a revision.
func (o *outliving) reached(revision string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.ever[revision])
}

// distant is that cluster, seen from another process.
type distant struct {
	scripted
	url string
}

func (d *distant) Pods(kube.Scope) (pods []kube.Pod, err error) {
	answer, err := http.Get(d.url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return pods, json.NewDecoder(answer.Body).Decode(&pods)
}

func (d *distant) Annotate(ctx context.Context, ref kube.Ref, annotations map[string]*string) error {
	body, err := json.Marshal(write{ref, annotations})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("%s: %s", answer.Status, said)
	}
	return nil
}

// Where a process that is to be killed finds its repository and its cluster.
const distantRepo, distantCluster = "HOTPATCH_TEST_REPO", "HOTPATCH_TEST_CLUSTER"

// liveUntilKilled is a reconciler's whole life, in its own process. It ends as well
// when the test that started it has.
func liveUntilKilled(t *testing.T) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	r, _ := lead(t, &gittest.Repo{URL: os.Getenv(distantRepo)}, "hotpatch-status", &distant{url: os.Getenv(distantCluster)})
	for range time.Tick(20 * time.Millisecond) {
		r.pollNow()
	}
}
