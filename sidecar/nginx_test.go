package sidecar

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotpatch.dev/hotpatch/internal/debian"
)

// nginxProgram is nginx, installed if it is not there.
func nginxProgram(t *testing.T) string {
	t.Helper()
	if err := debian.Need(t.Context(), "this test reloads it", map[string]string{"nginx": "nginx-light"}); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("nginx")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// startNginx serves on a port of its own what dir/site.conf says, and is named
// like every nginx: by the beginning of its master's title.
func startNginx(t *testing.T, dir string) (title, url string) {
	t.Helper()
	program, prefix := nginxProgram(t), t.TempDir()
	port := freePort(t)
	conf := fmt.Sprintf("user root; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;\nevents {}\nhttp { access_log off; server { listen 127.0.0.1:%[2]d; include %[3]s/site.conf; } }\n", prefix, port, dir)
	for name, content := range map[string]string{prefix + "/nginx.conf": conf, dir + "/site.conf": "return 200 before;"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-p", prefix, "-c", prefix+"/nginx.conf", "-g", "daemon off;")
	cmd.Args[0] = "nginx"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	return "nginx: master process nginx -p " + prefix, fmt.Sprintf("http://127.0.0.1:%d/", port)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func fetched(url string) string {
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

// A real nginx takes a new configuration on SIGHUP: its master stays, and new
// workers serve what the file says now.
func TestNginxReloads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "downloads")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	title, url := startNginx(t, dir)
	eventually(t, "nginx serves", func() bool { return fetched(url) == "before" })
	w := newWorld(t, func(c string) string {
		return strings.Replace(c, "loadPatchType: signal", "fileDir: "+dir+"\n        loadPatchType: signal", 1)
	},
		func(c string) string { return processName(c, title) })
	w.serves(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "return 200 %s;", r.URL.Query().Get("page"))
	})
	old := workers(t, title)
	for _, v := range []string{"v1", "v2", "v1"} {
		w.mustPost(v, "/site.conf?page="+v)
		eventually(t, v+" is served", func() bool { return fetched(url) == v })
	}
	if now := workers(t, title); slices.Equal(old, now) {
		t.Errorf("the same workers %v as before", now)
	}
}

// processName puts another name in the place of the game's.
func processName(config, name string) string {
	before, rest, _ := strings.Cut(config, "processName: ")
	_, after, _ := strings.Cut(rest, "\n")
	return before + "processName: '" + name + "'\n" + after
}

// workers are the PIDs of the master's children.
func workers(t *testing.T, title string) []string {
	t.Helper()
	master, err := find(title)
	if err != nil {
		t.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", master.PID))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(children))
}
