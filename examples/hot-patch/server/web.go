package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"
)

// startWeb answers probes and whoever wants to see the state. The server gets
// its own descriptor of the listener, since stopping it closes what it was
// given.
func (s *server) startWeb() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /state", s.serveState)
	s.web = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}
	listener, err := duplicate(s.sockets.web)
	if err != nil {
		slog.Error("no probe will be answered", "error", err)
		return
	}
	go s.web.Serve(listener)
}

// stopWeb lets answers under way end, for a moment; a probe asks again.
func (s *server) stopWeb() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if s.web.Shutdown(ctx) != nil {
		s.web.Close()
	}
}

func (s *server) serveState(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct {
		process
		World   string   `json:"world"`
		Players []player `json:"players"`
	}{s.process(), s.world.Text, s.players()})
}

// players are everyone connected, by session.
func (s *server) players() []player {
	s.mu.Lock()
	defer s.mu.Unlock()
	players := []player{}
	for session := range s.sessions {
		players = append(players, session.player)
	}
	slices.SortFunc(players, func(a, b player) int { return cmp.Compare(a.ID, b.ID) })
	return players
}

func duplicate(l *net.TCPListener) (net.Listener, error) {
	file, err := l.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}
