package programs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/rootfs"
)

// game is the example's server, each version with a program and files of its own.
func game(t *testing.T, port, web string) program {
	t.Helper()
	base := rootfs.Tree{}
	base.Dir("tmp", 0o1777)
	files := func(version string) map[string]string {
		out := filepath.Join(t.TempDir(), "server")
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.build="+version, "-o", out, "../../examples/hot-patch/server")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build the game server: %v\n%s", err, output)
		}
		binary, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"game/server": string(binary), "game/version": version, "game/world.txt": "the world of " + version}
	}
	return program{base: base, v1: files("v1"), v2: files("v2"),
		start: v1.ImageConfig{Entrypoint: []string{"/game/server", "-listen", "127.0.0.1:" + port, "-http", "127.0.0.1:" + web}}}
}

// standing is what the server says of a player and of itself.
type standing struct {
	Name                   string
	Score, PID, Generation int
	Version, Build         string
}

func TestTheGameGoesOn(t *testing.T) {
	port, web := freePort(t), freePort(t)
	p := run(t, game(t, port, web), listening(port))
	player := connect(t, "tcp", "127.0.0.1:"+port)
	player.ask("join ada")
	player.ask("score +41")
	leave := visitors(t, listening(port))
	is := func(want standing) {
		t.Helper()
		var got standing
		if answer := player.ask("state"); json.Unmarshal([]byte(answer), &got) != nil || got != want {
			t.Errorf("the player hears %s, want %+v", answer, want)
		}
	}
	is(standing{Name: "ada", Score: 41, PID: 1, Generation: 1, Version: "v1", Build: "v1"})

	p.becomes("v2", &api.Reload{Signal: "SIGHUP"})
	p.settles(0)
	player.ask("score +1")
	is(standing{Name: "ada", Score: 42, PID: 1, Generation: 2, Version: "v2", Build: "v2"})

	p.becomes("v1", &api.Reload{Signal: "SIGHUP"})
	p.settles(0)
	is(standing{Name: "ada", Score: 42, PID: 1, Generation: 3, Version: "v1", Build: "v1"})
	leave()
}
