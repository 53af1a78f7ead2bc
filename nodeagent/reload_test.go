package nodeagent

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// The containers of these tests have the host's network.
func TestReloadByARequest(t *testing.T) {
	s := tell(t)
	s.agent()
	var answer, asked atomic.Int64
	var seen atomic.Value
	answer.Store(http.StatusNoContent)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		version, _ := os.ReadFile(s.main.Root("/version"))
		seen.Store(r.Method + " " + r.URL.String() + " on " + string(version))
		w.WriteHeader(int(answer.Load()))
		w.Write([]byte(strings.Repeat("no, ", 1000)))
	}))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	reload := &api.Reload{HTTP: &api.HTTPReload{Method: "POST", Path: "/-/reload?all=1"}, TimeoutSeconds: 5}
	if reload.HTTP.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: reload})
	s.sees("r2", api.StateReloaded)
	if got := seen.Load(); got != "POST /-/reload?all=1 on v2" || asked.Load() != 1 {
		t.Errorf("%d requests, the last was %s", asked.Load(), got)
	}
	answer.Store(http.StatusInternalServerError)
	s.wants("r3", api.DesiredContainer{Name: "main", Image: refs["v3"], Reload: reload})
	is := s.sees("r3", api.StateFailed)
	if is.Image != refs["v3"] || !strings.Contains(is.Message, "the root is changed, but the reload failed: POST http://127.0.0.1:"+port+"/-/reload?all=1 answers 500") || len(is.Message) > 500 {
		t.Errorf("observed %+v", is)
	}
	answer.Store(http.StatusOK) // it is tried again
	s.sees("r3", api.StateReloaded)
}

// Three times; then nobody is disturbed any more, until something else is asked.
func TestAReloadThatDoesNotTakeGoesBack(t *testing.T) {
	s := tell(t) // does not become the new program
	s.agent()
	reload := &api.Reload{Signal: "SIGHUP", Require: api.RequireNewBinary, TimeoutSeconds: 1}
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: reload})
	is := s.sees("r2", api.StateFailed)
	if is.Image != refs["v1"] || is.OldProcesses != 0 || !strings.Contains(is.Message, "1 of its processes still execute") || !strings.HasSuffix(is.Message, "it is back on the root before") {
		t.Errorf("observed %+v", is)
	}
	is = s.says("r2", "patched 3 times in vain")
	if is.Image != refs["v1"] || is.InVain != maxInVain {
		t.Errorf("observed %+v", is)
	}
	s.becomes("read /version", "v1")
	s.becomes("hangups", strconv.Itoa(2*maxInVain)) // to become the new one, and back
	s.keeps(0)
	s.wants("r3", api.DesiredContainer{Name: "main", Image: refs["v3"], Reload: hup})
	if is := s.sees("r3", api.StateReloaded); is.InVain != 0 {
		t.Errorf("observed %+v", is)
	}
	s.becomes("read /version", "v3")
}

func TestAReloadThatIsRequiredAndTakes(t *testing.T) {
	s := tell(t, "REEXEC=1")
	s.agent()
	reload := &api.Reload{Signal: "SIGHUP", Require: api.RequireNewBinary, TimeoutSeconds: 5}
	for _, version := range []string{"v2", "v3"} {
		s.wants(version, api.DesiredContainer{Name: "main", Image: refs[version], Reload: reload})
		if is := s.sees(version, api.StateReloaded); is.OldProcesses != 0 || is.Image != refs[version] {
			t.Errorf("observed %+v", is)
		}
		s.becomes("read /version", version)
		s.keeps(1)
	}
}

// The reload may just have started the process that is to be told of going back:
// that goes back all the same, and is told nothing.
func TestGoingBackDoesNotWaitForWhoHasJustStarted(t *testing.T) {
	s := tell(t)
	youth, young := s.options.Youth, false
	s.options.At = func(step string) {
		if step != "release" {
			return
		}
		if young = !young; young { // from the swap there to the one back
			s.running.options.Youth = time.Hour
		} else {
			s.running.options.Youth = youth
		}
	}
	s.agent()
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"], Reload: &api.Reload{Signal: "SIGHUP", Require: api.RequireNewBinary, TimeoutSeconds: 1}})
	if is := s.sees("r2", api.StateFailed); !strings.HasSuffix(is.Message, "it is back on the root before") {
		t.Errorf("observed %+v", is)
	}
	s.says("r2", "patched 3 times in vain")
	s.becomes("read /version", "v1")
	s.becomes("hangups", strconv.Itoa(maxInVain))
}

// From one image to the next, and back to the first, not to the container's own.
func TestGoingBackIsToTheRootBefore(t *testing.T) {
	s := tell(t)
	s.agent()
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"]})
	s.sees("r2", api.StatePatched)
	s.becomes("write /mark two", "ok")
	s.wants("r3", api.DesiredContainer{Name: "main", Image: refs["v3"], Reload: &api.Reload{Signal: "SIGHUP", Require: api.RequireNewBinary, TimeoutSeconds: 1}})
	if is := s.says("r3", "patched 3 times in vain"); is.Image != refs["v2"] {
		t.Errorf("observed %+v", is)
	}
	s.becomes("read /version", "v2")
	s.becomes("read /mark", "two")
}

func TestAContainerThatCrashesIsLeftAlone(t *testing.T) {
	s := tell(t)
	s.agent()
	s.wants("r2", api.DesiredContainer{Name: "main", Image: refs["v2"]})
	for range maxInVain {
		for s.sees("r2", api.StatePatched).ContainerID != "containerd://"+s.main.ID {
			time.Sleep(5 * time.Millisecond) // it was the one before
		}
		if err := s.main.Kill(); err != nil {
			t.Fatal(err)
		}
		s.start()
	}
	if is := s.says("r2", "patched 3 times in vain"); is.Image != refs["v1"] {
		t.Errorf("observed %+v", is)
	}
	s.becomes("read /version", "v1")
	s.wants("r3", api.DesiredContainer{Name: "main", Image: refs["v3"]})
	s.sees("r3", api.StatePatched)
	s.becomes("read /version", "v3")
}

func TestConfigurationThatIsNotTakenIsNamed(t *testing.T) {
	s := tell(t)
	s.agent()
	s.wants("no", api.DesiredContainer{Name: "main", Image: refs["v4"], ImageConfig: api.ImageConfigRefuse})
	if is := s.sees("no", api.StateFailed); is.Message != "imageConfig is Refuse, and the running container would not take the image's environment MODE; nothing was changed" {
		t.Errorf("observed %+v", is)
	}
	s.becomes("read /version", "v1")
	if roots := s.roots(); len(roots) != 0 {
		t.Errorf("roots %v were made", roots)
	}
	s.wants("yes", api.DesiredContainer{Name: "main", Image: refs["v4"]})
	if is := s.sees("yes", api.StatePatched); is.Ignored != "environment MODE" {
		t.Errorf("observed %+v", is)
	}
	s.wants("back", api.DesiredContainer{Name: "main"})
	if is := s.sees("back", api.StateRestored); is.Ignored != "" {
		t.Errorf("observed %+v", is)
	}
}
