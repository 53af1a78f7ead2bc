package reconciler

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	imageregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/reconciler/gates"
	"hotpatch.dev/hotpatch/reconciler/kube"
	"hotpatch.dev/hotpatch/reconciler/plan"
	"hotpatch.dev/hotpatch/reconciler/registry"
	"hotpatch.dev/hotpatch/reconciler/render"
)

// shelf is a registry in this process.
type shelf struct {
	t    *testing.T
	host string
}

func newShelf(t *testing.T) shelf {
	server := httptest.NewServer(imageregistry.New(imageregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return shelf{t, strings.TrimPrefix(server.URL, "http://")}
}

// push makes a tag mean a new image, and returns it by digest.
func (s shelf) push(image string) string {
	s.t.Helper()
	ref, err := name.ParseReference(s.host + "/" + image)
	if err != nil {
		s.t.Fatal(err)
	}
	content, err := random.Image(64, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := remote.Write(ref, content); err != nil {
		s.t.Fatal(err)
	}
	digest, err := content.Digest()
	if err != nil {
		s.t.Fatal(err)
	}
	return ref.Context().Name() + "@" + digest.String()
}

// scripted is a cluster as a test wants it.
type scripted struct {
	pods   []kube.Pod
	broken error // of finding targets
}

func (s *scripted) Scope(_ context.Context, namespace string, target api.Target) (kube.Scope, error) {
	return kube.Scope{Namespace: namespace, Selector: "app=" + target.Name}, s.broken
}

func (s *scripted) Watch(context.Context, []kube.Scope) {}

func (s *scripted) Pods(kube.Scope) ([]kube.Pod, error) { return s.pods, nil }

// newProcess is a reconciler just started, which knows nothing.
func newProcess(cluster observer) *Reconciler {
	r := &Reconciler{cluster: cluster, trigger: newTrigger(), metrics: newMetrics(), options: Options{Cluster: "box"}}
	r.held = func(context.Context, string, string) ([]kube.Pod, error) { return nil, nil }
	r.setState(errNoPassYet)
	r.retries = newRetries(func() {})
	r.jobs = newJobs(r.retries, func() {})
	r.digests = newDigests(&registry.Resolver{}, r.jobs)
	r.analyses = newAnalyses(gates.New(nil, nil, ""), r.metrics, func() {})
	r.files = &files{}
	r.admission = newAdmission(&policy{}, r.jobs, r.metrics)
	r.recorder = &recorder{cluster: "box", wake: newTrigger()}
	r.executor = newExecutor(r.options.owner, &written{}, newSidecars("", SidecarTLS{}), r.files, r.jobs, r.metrics)
	return r
}

func testWish(commit, image string, partition int) *wanted {
	h := api.HotPatch{
		APIVersion: api.APIVersion, Kind: api.KindHotPatch,
		Metadata: api.Metadata{Namespace: "default", Name: "game"},
		Spec: api.Spec{
			Target:     api.Target{APIVersion: "apps/v1", Kind: "Deployment", Name: "game"},
			Containers: []api.Container{{Name: "main", Image: image}},
			Rollout:    api.Rollout{Partition: api.Count(partition)},
		},
	}
	return &wanted{render.Item{HotPatch: h, File: "game.yaml"}, commit, "Ann"}
}

// settle accepts, waits for what has been started, and accepts again, as two
// passes would; then the record is as it would be committed.
func (r *Reconciler) settle(t *tracked) error {
	_ = r.accept(context.Background(), t, false)
	r.jobs.wait()
	t.problem = r.accept(context.Background(), t, false)
	var p *plan.Plan
	if t.accepted != nil {
		p = &plan.Plan{Phase: api.PhaseProgressing}
	}
	t.record = t.status("box", time.Now(), p)
	return t.problem
}

func (t *tracked) image() string { return t.accepted.revision.Containers[0].Image }

func TestTagMeansOneDigestWhileGitNamesIt(t *testing.T) {
	shelf := newShelf(t)
	first := shelf.push("game:v2")
	image := shelf.host + "/game:v2"
	r := newProcess(&scripted{})
	tr := &tracked{key: "default/game", wanted: testWish("c1", image, 3)}
	if err := r.settle(tr); err != nil || tr.image() != first {
		t.Fatalf("pinned to %v, %v, want %s", tr.accepted, err, first)
	}

	moved := shelf.push("game:v2")
	tr.wanted = testWish("c2", image, 0)
	if err := r.settle(tr); err != nil || tr.image() != first || tr.accepted.commit != "c2" {
		t.Errorf("a new partition changed the image to %s (%v)", tr.image(), err)
	}

	restarted := &tracked{key: "default/game", wanted: testWish("c3", image, 0), record: tr.record}
	if err := newProcess(&scripted{}).settle(restarted); err != nil || restarted.image() != first {
		t.Errorf("a restart changed the image to %s (%v)", restarted.image(), err)
	}

	third := shelf.push("game:v3")
	tr.record.Stable = reached(tr.record)
	tr.wanted = testWish("c4", shelf.host+"/game:v3", 0)
	if err := r.settle(tr); err != nil || tr.image() != third {
		t.Errorf("v3 is %s (%v), want %s", tr.image(), err, third)
	}
	tr.wanted = testWish("c5", image, 0)
	if err := r.settle(tr); err != nil || tr.image() != first {
		t.Errorf("back to the stable revision is %s (%v), want %s", tr.image(), err, first)
	}

	tr.wanted = testWish("c6", shelf.host+"/game:v2@"+moved[strings.LastIndex(moved, "sha256:"):], 0)
	if err := r.settle(tr); err != nil || tr.image() != moved {
		t.Errorf("another reference gave %s (%v), want %s", tr.image(), err, moved)
	}
}

func TestUnknownImageChangesNothing(t *testing.T) {
	shelf := newShelf(t)
	first := shelf.push("game:v1")
	r := newProcess(&scripted{})
	tr := &tracked{key: "default/game", wanted: testWish("c1", shelf.host+"/game:v1", 3)}
	if err := r.settle(tr); err != nil {
		t.Fatal(err)
	}

	tr.wanted = testWish("c2", shelf.host+"/game:nope", 0)
	if err := r.settle(tr); err == nil {
		t.Fatal("accepted")
	}
	if tr.image() != first || tr.accepted.HotPatch.Spec.Rollout.Partition.Value != 3 {
		t.Errorf("something of the wish is in force: %+v", tr.accepted)
	}
	want := "game.yaml: HotPatch default/game: spec.containers[0].image: image " + shelf.host + "/game:nope does not exist"
	if tr.record.Phase != api.PhaseDegraded || !strings.HasPrefix(tr.record.Message, want) || !strings.HasSuffix(tr.record.Message, "stays in force") {
		t.Errorf("record says %s %q", tr.record.Phase, tr.record.Message)
	}

	shelf.push("game:nope")
	time.Sleep(2 * firstRetry)
	if err := r.settle(tr); err != nil || tr.record.Message != "" && tr.record.Revision != tr.accepted.revision.ID {
		t.Errorf("after the image was pushed: %v, record %+v", err, tr.record)
	}
}

func TestMissingTargetChangesNothing(t *testing.T) {
	shelf := newShelf(t)
	first := shelf.push("game:v1")
	shelf.push("game:v2")
	cluster := &scripted{}
	r := newProcess(cluster)
	tr := &tracked{key: "default/game", wanted: testWish("c1", shelf.host+"/game:v1", 3)}
	if err := r.settle(tr); err != nil {
		t.Fatal(err)
	}

	cluster.broken = errors.New("there is no Deployment game in namespace default")
	tr.wanted = testWish("c2", shelf.host+"/game:v2", 3)
	err := r.settle(tr)
	if err == nil || err.Error() != "game.yaml: HotPatch default/game: spec.target: there is no Deployment game in namespace default" {
		t.Errorf("got %v", err)
	}
	if tr.image() != first || tr.record.Phase != api.PhaseDegraded {
		t.Errorf("in force %s, record %s", tr.image(), tr.record.Phase)
	}
}
