package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// levels serves /VERSION/level.json, of some size, and stops in the middle of it
// while held back.
type levels struct {
	heldBack atomic.Bool
	halfway  chan struct{} // gets one when an answer stops
}

func levelOf(version string) string {
	return `{"name": "` + version + `", "map": "` + strings.Repeat(version[len(version)-1:], 256<<10) + `"}`
}

func (l *levels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text := levelOf(strings.Split(r.URL.Path, "/")[1])
	if l.heldBack.Load() {
		fmt.Fprint(w, text[:len(text)/2])
		w.(http.Flusher).Flush()
		l.halfway <- struct{}{}
		<-r.Context().Done()
		return
	}
	fmt.Fprint(w, text)
}

func (s *scene) serveLevels() (l *levels, url string) {
	s.Helper()
	l = &levels{halfway: make(chan struct{}, 1)}
	listener, err := net.Listen("tcp", "10.246.0.1:0")
	s.must(err)
	server := &http.Server{Handler: l}
	go server.Serve(listener)
	s.Cleanup(func() { server.Close() })
	return l, "http://" + listener.Addr().String()
}

// The sidecar is killed on the cluster at many moments of an update: the game and its
// file stay whole, the container comes back, and file, annotation and game agree.
func TestSidecarKilledMidUpdate(t *testing.T) {
	t.Parallel()
	s := open(t)
	pod := s.puts("python")
	main, err := on.Lives(s.ctx, "e2e-python", "main")
	s.must(err)
	upstream, url := s.serveLevels()
	ip := pod.Status.PodIP
	s.must(s.post(ip, "version=v0&url="+url+"/v0/level.json"))
	file := fmt.Sprintf("/proc/%d/root/files/level.json", main[0].HostPID)
	stop := s.reads(file)

	upstream.heldBack.Store(true)
	go s.post(ip, "version=v1&url="+url+"/v1/level.json")
	<-upstream.halfway
	s.killSidecar(ip)
	if content, err := os.ReadFile(file); err != nil || string(content) != levelOf("v0") {
		t.Errorf("killed halfway through a download: there are %d other bytes, %v", len(content), err)
	}
	upstream.heldBack.Store(false)
	for i := range 12 {
		version := fmt.Sprintf("v%d", i+2)
		go s.post(ip, "version="+version+"&url="+url+"/"+version+"/level.json")
		time.Sleep(time.Duration(4*i) * time.Millisecond)
		s.killSidecar(ip)
		s.agrees(file)
	}
	s.must(s.post(ip, "version=v99&url="+url+"/v99/level.json"))
	s.agrees(file)
	stop()
	after, err := on.Lives(s.ctx, "e2e-python", "main")
	s.must(err)
	s.must(stage.SameLives(main, after))
}

// killSidecar ends it and waits for the next.
func (s *scene) killSidecar(ip string) {
	s.Helper()
	lives, err := on.Lives(s.ctx, "e2e-python", "sidecar")
	s.must(err)
	s.must(syscall.Kill(lives[0].HostPID, syscall.SIGKILL))
	s.must(stage.Eventually(s.ctx, limit, func(ctx context.Context) error {
		now, err := on.Lives(ctx, "e2e-python", "sidecar")
		if err == nil && (len(now) == 0 || now[0].ContainerID == lives[0].ContainerID) {
			err = errors.New("the sidecar is not back")
		}
		if err != nil {
			return err
		}
		_, err = stage.Get(ctx, "http://"+ip+":5000/readyz")
		return err
	}))
}

// agrees waits until the annotation tells of the version that is on the disk, and the
// game shows it.
func (s *scene) agrees(file string) {
	s.Helper()
	s.must(stage.Eventually(s.ctx, limit, func(context.Context) error {
		pod := s.pod("e2e-python")
		told, err := observedFile(pod, "level.json")
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		shown, err := level(http.DefaultClient, pod.Status.PodIP)
		if err != nil {
			return err
		}
		digest := sha256.Sum256(content)
		if told.State != api.FileUpdated || told.SHA256 != hex.EncodeToString(digest[:]) || string(content) != levelOf(told.Version) || !strings.Contains(shown, `"`+told.Version+`"`) {
			return fmt.Errorf("the annotation tells of %s (%s %s), the game says %s, and the file has the digest %x", told.Version, told.State, told.Message, shown, digest)
		}
		return nil
	}))
}

// reads reads the game's file until it is stopped: it must be whole each time.
func (s *scene) reads(file string) (stop func()) {
	s.Helper()
	var over atomic.Bool
	var reader sync.WaitGroup
	reads, wrong := 0, 0
	reader.Go(func() {
		for ; !over.Load(); reads++ {
			content, err := os.ReadFile(file)
			if words := strings.Split(string(content), `"`); err != nil || len(words) < 4 || string(content) != levelOf(words[3]) {
				wrong++
			}
			time.Sleep(200 * time.Microsecond)
		}
	})
	return func() {
		over.Store(true)
		reader.Wait()
		s.Logf("%d reads meanwhile", reads)
		if wrong > 0 || reads < 1000 {
			s.Errorf("%d of %d reads torn or missing", wrong, reads)
		}
	}
}
