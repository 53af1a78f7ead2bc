package programs

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/api"
)

var pythonPackages = []string{"python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "gunicorn", "python3-gunicorn", "python3-pkg-resources",
	"libc6", "libexpat1", "zlib1g", "libssl3", "libffi8", "libbz2-1.0", "liblzma5", "libuuid1"}

// python is Debian's, with gunicorn. v2 has other modules of the application, a
// further one, and another interpreter.
func python(t *testing.T, port, dir string) program {
	t.Helper()
	base := from(t, pythonPackages, []string{"usr/bin/python3.11"}, "usr/lib/python3.11", "usr/lib/python3/dist-packages")
	base.File("srv/app.py", 0o644, []byte(file(t, "python/app.py")))
	module := func(version string) string { return "VERSION = '" + version + "'\n" }
	return program{base: base,
		start: v1.ImageConfig{Env: []string{"PYTHONDONTWRITEBYTECODE=1"}, WorkingDir: dir,
			Entrypoint: []string{"/usr/bin/python3.11", "-m", "gunicorn", "--bind", "127.0.0.1:" + port, "--pythonpath", "/srv", "--config", "/etc/gunicorn.conf.py",
				"--worker-class", "gthread", "--threads", "4", "app:app"}},
		v1: map[string]string{"srv/page.py": module("v1"), "srv/plugin.py": module("v1"), "etc/gunicorn.conf.py": ""},
		v2: map[string]string{"srv/page.py": module("v2"), "srv/plugin.py": module("v2"), "srv/added.py": module("v2"),
			"etc/gunicorn.conf.py": "import importlib\n\n\ndef post_fork(server, worker):\n    importlib.invalidate_caches()\n",
			"usr/bin/python3.11":   another(t, base, "usr/bin/python3.11", "\x003.11.", "\x003.91.")},
	}
}

func TestPythonServesANewApplication(t *testing.T) {
	port := freePort(t)
	p := run(t, python(t, port, "/"), listening(port))
	see(t, port, "/", "v1")
	leave := visitors(t, func() error { _, err := get(port, "/"); return err })

	// Told nothing, it goes on with what it has loaded, and loads the rest from v2.
	is := p.becomes("v2", nil)
	if is.OldProcesses != 2 || is.StaleDirs != 0 {
		t.Errorf("observed %+v, want the master and the worker on the old interpreter", is)
	}
	see(t, port, "/", "v1")
	see(t, port, "/late", "v2")
	if got, err := get(port, "/news"); err == nil { // it knows what was in the folder
		t.Errorf("a file that came with v2 is found, and says %q", got.body)
	}
	p.becomes("v1", nil)
	see(t, port, "/late", "v2") // loaded once and for all

	slow := connect(t, "tcp", "127.0.0.1:"+port)
	answer := bufio.NewReader(slow.request("/slow").Body)
	if begun, err := answer.ReadString('\n'); begun != "begun\n" {
		t.Fatalf("%q, %v", begun, err)
	}
	p.becomes("v2", &api.Reload{Signal: "SIGHUP"})
	becomes(t, port, "/", "v2")
	see(t, port, "/late", "v2")
	see(t, port, "/news", "v2")
	if got, err := get(port, "/python"); err != nil || !strings.HasPrefix(got.body, "3.11.") {
		t.Errorf("the interpreter is %s, %v", got.body, err)
	}
	if err := os.WriteFile(filepath.Join(p.Share, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if last, err := answer.ReadString('\n'); last != "v1\n" {
		t.Errorf("the request that began on v1 ends with %q, %v", last, err)
	}

	p.becomes("v1", &api.Reload{Signal: "SIGHUP"})
	becomes(t, port, "/", "v1")
	see(t, port, "/late", "v1")
	leave()
}

// At each reload gunicorn asks for its working directory, and ends where that is
// gone: it has moved along.
func TestPythonStaysInItsDirectory(t *testing.T) {
	port := freePort(t)
	p := run(t, python(t, port, "/srv"), listening(port))
	see(t, port, "/", "v1")
	for _, version := range []string{"v2", "v1"} {
		if is := p.becomes(version, &api.Reload{Signal: "SIGHUP"}); is.StaleDirs != 0 || is.Stale != "" {
			t.Errorf("observed %+v, want everybody in the new directory", is)
		}
		becomes(t, port, "/", version)
	}
}
