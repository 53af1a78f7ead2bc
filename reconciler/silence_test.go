package reconciler

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/gitsource/gittest"
	"hotpatch.dev/hotpatch/reconciler/kube/kubetest"
)

// A host that has had enough of polls is not asked for the record either.
func TestSilenceHoldsForResultsToo(t *testing.T) {
	repo := gittest.NewRepo(t)
	r, err := newReconciler(t.Context(), Options{Repo: repo.URL, Branch: "main", StatusBranch: "hotpatch-status", Path: ".",
		Cluster: "box", Interval: time.Hour, Kubeconfig: kubetest.New(t).Kubeconfig, Listen: ":0"})
	if err != nil {
		t.Fatal(err)
	}
	repo.Break(gittest.ListForFetch, func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "60")
		http.Error(w, "slowly", http.StatusTooManyRequests)
		return true
	})
	if _, err := r.follower.source.Newer(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "asked again after") {
		t.Fatalf("got %v", err)
	}
	repo.Break(gittest.ListForFetch, nil)
	_, err = r.recorder.branch.Commit(t.Context(), gitsource.Change{Files: map[string][]byte{"a": []byte("1")}, Subject: "put a"})
	if err == nil || !strings.Contains(err.Error(), "asked again after") || repo.Show("hotpatch-status", "a") != "" {
		t.Errorf("a result is committed all the same: %v", err)
	}
}
