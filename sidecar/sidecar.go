// Package sidecar puts new versions of files into a running pod: POST
// /hot-update with a version and a URL, and the file is downloaded, verified,
// replaced, the process told, the result recorded.
//
// It speaks the existing sidecar's language to the byte, config file included,
// and promises what that one does not: readers see the old file or the new one,
// never a part or none; only a 200 answer becomes a file; only the process of
// exactly that name gets the signal; "success" is said only when all of it,
// the record included, is true; and a restart brings back what was applied
// last. See docs/sidecar.md.
package sidecar

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/internal/logging"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// Limits of the HTTP server.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10
	closeTimeout  = 10 * time.Second
	// gcPercent: beside every game server memory is dearer than a little
	// processor time.
	gcPercent = 50
	// overhead is how much longer than its download an update may take.
	overhead = time.Minute + 4*maxWait
)

// Options are what the command line and the environment say.
type Options struct {
	// Configs are where the config file may be; the first that exists counts.
	Configs []string
	// Listen is the address to listen on.
	Listen string
	// Dir is the directory of the files, unless the config names one.
	Dir string
	// Pod is this pod. Its name and namespace have defaults in a pod.
	Pod kube.Pod
	// ServiceAccountDir holds the pod's credentials.
	ServiceAccountDir string
}

// Run serves until ctx ends, and then finishes the updates under way.
func Run(ctx context.Context, o Options) error {
	debug.SetGCPercent(gcPercent)
	config, warnings, err := ReadConfig(o.Configs...)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		logging.From(ctx).Warning("config: " + w)
	}
	service, err := assemble(ctx, o, config)
	if err != nil {
		return err
	}
	defer service.updates.share.root.Close()
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return err
	}
	logging.From(ctx).WithField("address", listener.Addr()).Info("serving POST /hot-update")
	return service.run(ctx, listener)
}

// run lets the server, the restore and the store's retries work until ctx ends.
func (s *service) run(ctx context.Context, listener net.Listener) error {
	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { s.updates.restore(ctx) })
	background.Go(func() { s.updates.store.retry(ctx) })
	err := s.serve(ctx, listener)
	stop()
	background.Wait()
	return err
}

func (s *service) serve(ctx context.Context, listener net.Listener) error {
	working, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	server := &http.Server{
		Handler:           s.handler(working),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      s.updates.limit + readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(connections{ctx}, "", 0),
	}
	closed := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(closed)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(grace) != nil {
			abort(errors.New("the sidecar is stopping"))
			server.Close()
		}
	})()
	if s.keys != nil {
		listener = tls.NewListener(listener, s.keys.config(ctx))
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP server: %w", err)
	}
	<-closed
	return nil
}

// connections logs what the HTTP server says of single connections: for those
// who look for it, because anyone can make it say much.
type connections struct{ ctx context.Context }

func (c connections) Write(line []byte) (int, error) {
	logging.From(c.ctx).Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}
