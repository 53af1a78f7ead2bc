package reconciler

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"hotpatch.dev/hotpatch/internal/logging"
)

// Limits of the HTTP server. Sidecars download files through it, hence the
// long time to write.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 5 * time.Minute
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10
	closeTimeout  = 2 * time.Second
)

// endpoints is what the HTTP server needs of the rest.
type endpoints struct {
	metrics   *metrics
	files     *files
	ready     func() error
	followed  func() error // why Git cannot be read
	recorded  func() error // why results are not committed
	poll      func(ctx context.Context, passed bool) error
	tokenFile string // of POST /trigger; "" lets everyone in
	webhooks  *webhooks
}

func (e *endpoints) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", e.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.metrics.registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /files/sha256/{digest}/{name}", e.files)
	mux.HandleFunc("POST /trigger", e.trigger)
	mux.Handle("POST /webhook", e.webhooks) // the only one that reads a body
	return mux
}

func (e *endpoints) readyz(w http.ResponseWriter, _ *http.Request) {
	unread := e.followed()
	if err := e.ready(); err != nil {
		http.Error(w, errors.Join(err, unread).Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
	if unread != nil {
		fmt.Fprintln(w, "Git cannot be read, and what was read before stays in force:", unread)
	}
	if err := e.recorded(); err != nil { // pods go on without: files are served, and results are kept
		fmt.Fprintln(w, "results are not committed yet:", err)
	}
}

// trigger asks for a poll of the Git server now, as a push hook does.
func (e *endpoints) trigger(w http.ResponseWriter, r *http.Request) {
	ok, err := authorized(r, e.tokenFile)
	switch {
	case err != nil:
		logging.From(r.Context()).WithError(err).Error("no trigger can be taken: its token cannot be read")
		http.Error(w, "the token of this trigger cannot be read; see the reconciler's log", http.StatusInternalServerError)
	case !ok:
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "send the trigger's token as Authorization: Bearer …", http.StatusUnauthorized)
	default:
		e.polled(w, r)
	}
}

func (e *endpoints) polled(w http.ResponseWriter, r *http.Request) {
	if err := e.poll(r.Context(), r.Header.Get(passedOn) != ""); err != nil {
		w.Header().Set("Retry-After", retryAfter)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintln(w, "polling")
}

// authorized reads the token each time, because mounted Secrets rotate.
func authorized(r *http.Request, tokenFile string) (bool, error) {
	if tokenFile == "" {
		return true, nil
	}
	token, err := readToken(tokenFile)
	if err != nil {
		return false, err
	}
	given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	return subtle.ConstantTimeCompare([]byte(given), []byte(token)) == 1, nil
}

func readToken(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", fmt.Errorf("token file %s is empty", file)
	}
	return token, nil
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	defer context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(limit) != nil {
			server.Close()
		}
	})()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP server: %w", err)
	}
	return nil
}
