package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/logging"
)

const (
	maxBody   = 64 << 10
	maxAtOnce = 64 // updates under way or waiting for their turn
	success   = "File downloaded and update successfully"
)

var (
	errMethod = errors.New("only POST requests are allowed")
	// errOtherPod: the pod that was meant is gone, and its address is ours now.
	errOtherPod = errors.New("this is not the pod of that uid")
	errBusy     = fmt.Errorf("too busy: %d updates are under way", maxAtOnce)
)

// handler answers POST /hot-update.
type handler struct {
	// life is how long updates may go on: longer than their callers wait, so
	// that one who hangs up leaves nothing half done, but not for ever.
	life    context.Context
	auth    authorizer
	updates *updater
	tally   *tally
	uid     string        // of this pod, "" if not known
	busy    chan struct{} // has a place for each update under way
}

func (s *service) handler(life context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/hot-update", &handler{life: life, auth: s.auth, updates: s.updates, tally: s.tally, uid: s.uid, busy: make(chan struct{}, maxAtOnce)})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("GET /readyz", s.updates.gate)
	mux.Handle("GET /metrics", s.tally)
	return mux
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sent := &body{ReadCloser: http.MaxBytesReader(w, r.Body, maxBody)}
	r.Body = sent
	file, err := h.serve(r, sent)
	if err != nil && file.State == "" {
		file = observed(ask{path: r.FormValue("path"), version: r.FormValue("version")}, err)
	}
	h.tally.count(code(err))
	answer(w, r, file, err)
}

func (h *handler) serve(r *http.Request, sent *body) (api.ObservedFile, error) {
	if r.Method != http.MethodPost {
		return api.ObservedFile{}, errMethod
	}
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	default:
		return api.ObservedFile{}, errBusy
	}
	caller, err := h.auth.authorize(r)
	if err != nil {
		return api.ObservedFile{}, authError{err}
	}
	if uid := r.FormValue("uid"); uid != "" && h.uid != "" && uid != h.uid {
		return api.ObservedFile{}, errOtherPod
	}
	a, err := parseAsk(r)
	if sent.failed != nil { // of what the query says alone nobody knows that it was meant
		return api.ObservedFile{}, badRequest("please provide a valid request: its body does not arrive: " + sent.failed.Error())
	}
	if err != nil {
		return api.ObservedFile{}, err
	}
	return h.updates.update(logging.With(h.life, "caller", caller, "from", r.RemoteAddr), a)
}

// body is what a caller sends. That it did not come to its end is lost on
// http.Request's form, which then holds the query alone.
type body struct {
	io.ReadCloser
	failed error
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failed = err
	}
	return n, err
}

// authError is an error that kept a caller out.
type authError struct{ error }

func (e authError) Unwrap() error { return e.error }

// code is the HTTP status of an error; the existing sidecar knows 405, 400 and
// 500.
func code(err error) int {
	var bad badRequest
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, errMethod):
		return http.StatusMethodNotAllowed
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, errUnauthorized), errors.Is(err, errCertificate):
		return http.StatusUnauthorized
	case errors.Is(err, errForbidden):
		return http.StatusForbidden
	case errors.Is(err, errOtherPod):
		return http.StatusConflict
	case errors.As(err, new(authError)), errors.Is(err, errBusy):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// answer writes the existing sidecar's words, or JSON to those who ask for it.
func answer(w http.ResponseWriter, r *http.Request, file api.ObservedFile, err error) {
	switch status := code(err); status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", http.MethodPost)
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code(err))
		json.NewEncoder(w).Encode(file)
		return
	}
	words := success
	if err != nil {
		words = err.Error()
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code(err))
	fmt.Fprint(w, words)
}
