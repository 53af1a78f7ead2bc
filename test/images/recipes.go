package main

import (
	"context"
	"strings"

	"hotpatch.dev/hotpatch/test/rootfs"
)

// recipe is how one image is made.
type recipe struct {
	tag    string // name:tag below the registry
	source string // folder of this repository that it is made of
	make   func(context.Context, *kitchen) (contents, error)
}

func (r recipe) name() string { name, _, _ := strings.Cut(r.tag, ":"); return name }

// contents is what an image holds and how it starts.
type contents struct {
	tree       rootfs.Tree
	entrypoint []string
	env        []string
}

func recipes() []recipe {
	return []recipe{
		program("reconciler"), program("agent"), program("sidecar"),
		gameServer("v1"), gameServer("v2"), gameServer("v3"),
		game2048(), redis(), pythonGame(),
	}
}

// program is one of ours, alone in its image with the certificates it trusts.
func program(name string) recipe {
	file, source := "hotpatch-"+name, "cmd/hotpatch-"+name
	return recipe{"hotpatch/" + name + ":dev", source, func(ctx context.Context, k *kitchen) (contents, error) {
		t := rootfs.Tree{}
		t.Dir("tmp", 0o1777)
		if err := k.certificates(ctx, t); err != nil {
			return contents{}, err
		}
		binary, err := k.goBuild(ctx, source, file, "")
		t.File(file, 0o755, binary)
		return contents{tree: t, entrypoint: []string{"/" + file}}, err
	}}
}

// gameServer differs from version to version in the program and in its files.
func gameServer(version string) recipe {
	const source = "examples/hot-patch/server"
	return recipe{"game-server:" + version, source, func(ctx context.Context, k *kitchen) (contents, error) {
		t := rootfs.Tree{}
		t.Dir("tmp", 0o1777)
		if err := t.CopyFrom(k.path("examples/hot-patch/versions", version), "game"); err != nil {
			return contents{}, err
		}
		binary, err := k.goBuild(ctx, source, "game-server-"+version, "-X main.build="+version)
		t.File("game/server", 0o755, binary)
		return contents{tree: t, entrypoint: []string{"/game/server"}}, err
	}}
}

// game2048 is Debian's nginx with the page and its configuration.
func game2048() recipe {
	const source = "examples/hot-update/image"
	return recipe{"game-2048:v1", source, func(ctx context.Context, k *kitchen) (contents, error) {
		t := rootfs.Tree{}
		for _, dir := range []string{"tmp", "run", "var/lib/nginx", "var/log/nginx", "var/www/html"} {
			t.Dir(dir, 0o755)
		}
		if err := k.debian.Take(ctx, t, nginxPackages, "usr/sbin/nginx", "etc/nginx/mime.types"); err != nil {
			return contents{}, err
		}
		if err := t.CopyFrom(k.path(source), ""); err != nil {
			return contents{}, err
		}
		env := []string{"PATH=/usr/sbin:/usr/bin"}
		return contents{tree: t, entrypoint: []string{"nginx"}, env: env}, t.Complete("usr/sbin/nginx")
	}}
}

// redis is Debian's, for the sidecar's tests.
func redis() recipe {
	const source = "test/e2e/testdata/redis"
	return recipe{"redis:v1", source, func(ctx context.Context, k *kitchen) (contents, error) {
		t := rootfs.Tree{}
		t.Dir("tmp", 0o1777)
		if err := k.debian.Take(ctx, t, redisPackages, "usr/bin/redis-check-rdb", "usr/bin/redis-server"); err != nil {
			return contents{}, err
		}
		if err := t.CopyFrom(k.path(source), ""); err != nil {
			return contents{}, err
		}
		return contents{tree: t, entrypoint: []string{"/usr/bin/redis-server", "/etc/redis.conf"}}, t.Complete("usr/bin/redis-check-rdb")
	}}
}

// pythonGame is a game server in Debian's Python, likewise.
func pythonGame() recipe {
	const source = "test/e2e/testdata/python"
	return recipe{"python-game:v1", source, func(ctx context.Context, k *kitchen) (contents, error) {
		t := rootfs.Tree{}
		t.Dir("tmp", 0o1777)
		if err := k.debian.Take(ctx, t, pythonPackages, "usr/bin/python3.11", "usr/lib/python3.11"); err != nil {
			return contents{}, err
		}
		if err := t.CopyFrom(k.path(source), ""); err != nil {
			return contents{}, err
		}
		env := []string{"PYTHONDONTWRITEBYTECODE=1"}
		return contents{tree: t, entrypoint: []string{"/usr/bin/python3.11", "/game/server.py"}, env: env}, t.Complete("usr/bin/python3.11")
	}}
}
