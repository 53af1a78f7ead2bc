package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/certtest"
	"hotpatch.dev/hotpatch/test/stage"
)

const sidecarFiles = "test/e2e/testdata/sidecars/"

// puts has a pod with a sidecar on the stage for the time of a test: e2e-NAME, with
// the containers main and sidecar.
func (s *scene) puts(name string) corev1.Pod {
	s.Helper()
	file := sidecarFiles + name + ".yaml"
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := on.Kubectl(ctx, "delete", "--ignore-not-found", "--wait", "-f", file); err != nil {
			s.Error(err)
		}
	})
	s.forgets("e2e-" + name)
	s.kubectl("apply", "-f", file)
	s.kubectl("-n", stage.Namespace, "wait", "--for=condition=Ready", "--timeout=60s", "pod/e2e-"+name)
	return s.pod("e2e-" + name)
}

// forgets takes away what sidecars have recorded of a pod of that name: one made anew
// would restore it, from servers that are gone.
func (s *scene) forgets(pod string) {
	s.Helper()
	results := on.Kube.CoreV1().ConfigMaps("kube-system")
	known, err := results.Get(s.ctx, "sidecar-result", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return
	}
	s.must(err)
	for key := range known.Data {
		if strings.Contains(key, pod) {
			delete(known.Data, key)
		}
	}
	_, err = results.Update(s.ctx, known, metav1.UpdateOptions{})
	s.must(err)
}

// pod is the only one of an app.
func (s *scene) pod(app string) corev1.Pod {
	s.Helper()
	pods, err := on.Pods(s.ctx, app)
	s.must(err)
	if len(pods) != 1 {
		s.Fatalf("there are %d pods of %s, want 1", len(pods), app)
	}
	return pods[0]
}

// observedFile is what a pod's annotation says of a file.
func observedFile(pod corev1.Pod, path string) (file api.ObservedFile, err error) {
	var all api.ObservedFiles
	err = json.Unmarshal([]byte(pod.Annotations[api.FilesAnnotation]), &all)
	for _, f := range all.Files {
		if f.Path == path {
			file = f
		}
	}
	return file, err
}

// keeper talks to a Redis on one connection.
type keeper struct {
	conn net.Conn
	in   *bufio.Reader
}

func (k keeper) expect(command, want string) error {
	if _, err := fmt.Fprint(k.conn, command+"\r\n"); err != nil {
		return err
	}
	got, err := k.in.ReadString('\n')
	if err == nil && strings.HasPrefix(got, "$") {
		got, err = k.in.ReadString('\n')
	}
	if got = strings.TrimSpace(got); err == nil && got != want {
		err = fmt.Errorf("%s: %q, want %q", command, got, want)
	}
	return err
}

// Redis gets certificates by CONFIG, which reads them again: its clients stay, new
// ones see the new certificate, and one that does not fit its key is refused in
// Redis' own words.
func TestRedisTakesCertificates(t *testing.T) {
	s := open(t)
	pod := s.puts("redis")
	before, err := on.Lives(s.ctx, "e2e-redis", "main")
	s.must(err)
	conn, err := net.DialTimeout("tcp", pod.Status.PodIP+":6379", 5*time.Second)
	s.must(err)
	defer conn.Close()
	client := keeper{conn, bufio.NewReader(conn)}
	s.must(client.expect("SET score 7", "+OK"))

	for _, version := range []string{"v1", "v2"} {
		ca := certtest.New(t)
		url := s.serve("/"+version+"/tls.tar", string(ca.Archive(ca.Pair("redis"))))
		s.must(s.post(pod.Status.PodIP, "version="+version+"&extract=1&path=tls&url="+url))
		s.must(ca.Sees(pod.Status.PodIP+":6380", "redis"))
	}
	ca := certtest.New(t)
	mixed := ca.Pair("redis")
	mixed.Key = ca.Pair("redis").Key
	url := s.serve("/v3/tls.tar", string(ca.Archive(mixed)))
	if err := s.post(pod.Status.PodIP, "version=v3&extract=1&path=tls&url="+url); err == nil || !strings.Contains(err.Error(), "failed to ask the process") || !strings.Contains(err.Error(), "-ERR") {
		t.Errorf("of a key that does not fit the sidecar says %v", err)
	}
	if file, err := observedFile(s.pod("e2e-redis"), "tls"); err != nil || file.State != api.FileFailed || file.Version != "v3" {
		t.Errorf("the annotation says %+v, %v", file, err)
	}
	s.must(client.expect("GET score", "7"))
	after, err := on.Lives(s.ctx, "e2e-redis", "main")
	s.must(err)
	s.must(stage.SameLives(before, after))
}

// level is what the Python server says on a connection that stays.
func level(client *http.Client, ip string) (string, error) {
	resp, err := client.Get("http://" + ip + ":8000/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// A Python game server reads its level again; the sidecar's success means that it
// shows it, on connections that were open before too.
func TestPythonTakesALevel(t *testing.T) {
	s := open(t)
	pod := s.puts("python")
	before, err := on.Lives(s.ctx, "e2e-python", "main")
	s.must(err)
	dials := 0
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		dials++
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}}
	first, err := level(client, pod.Status.PodIP)
	s.must(err)
	if !strings.Contains(first, `"level": "none"`) {
		t.Errorf("it begins with %s", first)
	}
	for _, version := range []string{"v1", "v2", "v1"} {
		s.must(s.post(pod.Status.PodIP, "version="+version+"&url="+s.serve("/"+version+"/level.json", `{"name": "`+version+`"}`)))
		got, err := level(client, pod.Status.PodIP)
		s.must(err)
		if want := strings.Replace(first, "none", version, 1); got != want {
			t.Errorf("it says %s, want %s", got, want)
		}
	}
	err = s.post(pod.Status.PodIP, "version=v3&url="+s.serve("/v3/level.json", `{"name": `))
	if err == nil || !strings.Contains(err.Error(), "does not show") {
		t.Errorf("of a level that cannot be read the sidecar says %v", err)
	}
	if got, err := level(client, pod.Status.PodIP); err != nil || !strings.Contains(got, `"level": "v1"`) || dials != 1 {
		t.Errorf("it says %s, %v, over %d connections", got, err, dials)
	}
	after, err := on.Lives(s.ctx, "e2e-python", "main")
	s.must(err)
	s.must(stage.SameLives(before, after))
}
