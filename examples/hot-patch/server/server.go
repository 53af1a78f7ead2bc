package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// maxSessions bounds how many can play; who comes later is turned away.
const maxSessions = 10_000

// server is one program's time in the life of the process.
type server struct {
	world      world
	started    time.Time
	generation int
	sockets    sockets
	hangup     chan os.Signal // tells us to let a new program take over
	web        *http.Server

	playing   sync.WaitGroup // one for each session's goroutine
	accepting sync.WaitGroup

	mu       sync.Mutex
	sessions map[*session]struct{}
	lastID   int
}

// sockets are what the server listens on.
type sockets struct {
	game, web *net.TCPListener
}

// start plays on with everyone, and lets others in.
func (s *server) start() {
	forever := time.Time{}
	s.sockets.game.SetDeadline(forever)
	s.mu.Lock()
	for session := range s.sessions {
		session.conn.SetDeadline(forever)
		s.goPlay(session)
	}
	s.mu.Unlock()
	s.accepting.Go(s.accept)
	s.startWeb()
}

// park stops everything at a place where another program can go on: whoever
// knocks meanwhile waits in the kernel's queue, and so does what players say.
func (s *server) park() {
	s.stopWeb()
	past := time.Unix(1, 0)
	s.sockets.game.SetDeadline(past)
	s.accepting.Wait()
	s.mu.Lock()
	for session := range s.sessions {
		session.conn.SetDeadline(past)
	}
	s.mu.Unlock()
	s.playing.Wait()
}

// accept lets players in until the listener is parked.
func (s *server) accept() {
	for {
		conn, err := s.sockets.game.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
		if err != nil {
			slog.Error("accept", "error", err)
			time.Sleep(50 * time.Millisecond) // out of files: let some go
			continue
		}
		if !s.admit(conn) {
			conn.Close()
		}
	}
}

func (s *server) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sessions) >= maxSessions {
		return false
	}
	s.lastID++
	session := &session{player: player{ID: s.lastID}, conn: conn}
	s.sessions[session] = struct{}{}
	s.goPlay(session)
	return true
}

func (s *server) goPlay(session *session) {
	s.playing.Go(func() {
		if err := session.serve(s.answer); errors.Is(err, errParked) {
			return
		}
		session.conn.Close()
		s.mu.Lock()
		delete(s.sessions, session)
		s.mu.Unlock()
	})
}

// answer is play, one player at a time: /state reads the same scores.
func (s *server) answer(p *player, line string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return play(p, s.world, s.process(), line)
}

func (s *server) process() process {
	return process{Version: s.world.Version, Build: build, PID: os.Getpid(), Started: s.started, Generation: s.generation}
}
