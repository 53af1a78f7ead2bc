package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/registry"
)

//go:embed pause/pause.c
var pauseSource []byte

// startRegistry starts `box registry`, which holds the nodes' images.
func startRegistry() error {
	if err := ensure("registry", binary("box"), "registry"); err != nil {
		return err
	}
	return wait(20*time.Second, func() error {
		_, err := crane.Digest(fmt.Sprintf("127.0.0.1:%d/pause:1", registryPort))
		return err
	})
}

// runRegistry serves images on loopback for the host and the nodes, and on the
// first node's address for pods. Blobs are on disk, the list of images is not:
// a registry that died is empty until images are pushed again.
func runRegistry() error {
	blobs := filepath.Join(stateDir, "registry")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	handler := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)), registry.Logger(log.New(io.Discard, "", 0)))
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	for _, host := range []string{"127.0.0.1", nodeAddress(1)} {
		listener, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, registryPort))
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		go server.Serve(listener)
	}
	if err := pushPause(); err != nil {
		return err
	}
	<-ctx.Done()
	return server.Close()
}

// pushPause builds the program that holds a pod's namespaces, which every
// cluster pulls from a public registry and this one cannot.
func pushPause() error {
	dir, err := os.MkdirTemp("", "pause")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source, program := filepath.Join(dir, "pause.c"), filepath.Join(dir, "pause")
	if err := os.WriteFile(source, pauseSource, 0o644); err != nil {
		return err
	}
	if out, err := exec.Command("gcc", "-static", "-Os", "-s", "-o", program, source).CombinedOutput(); err != nil {
		return fmt.Errorf("compile the pause image's program: %w: %s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	image, err := imageOf("pause", content)
	if err != nil {
		return err
	}
	return crane.Push(image, fmt.Sprintf("127.0.0.1:%d/pause:1", registryPort))
}
