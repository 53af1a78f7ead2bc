package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"time"
)

type options struct {
	dir        string // holds version and world.txt
	game, http string // addresses to listen on
}

// run serves players until ctx ends, and lets a new program take over at every
// hangup. Hangup must be listened to already: files are read after that, so
// that a change of them is either seen here or told.
func run(ctx context.Context, o options, hangup chan os.Signal) error {
	world, err := readWorld(o.dir)
	if err != nil {
		return err
	}
	from, err := inherited()
	if err != nil {
		return err
	}
	from.Generation++
	sockets, err := open(o, from)
	if err != nil {
		return err
	}
	s := newServer(world, from, sockets)
	s.hangup = hangup
	s.start()
	slog.Info("playing", "version", world.Version, "build", build, "generation", from.Generation, "players", len(from.Sessions))
	if s.generation > 1 && replaced() {
		s.goOn(s.reexec(ctx)) // nobody heard the hangup between the programs
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			s.goOn(s.reexec(ctx))
		}
	}
}

func (s *server) goOn(why error) {
	slog.Error("going on as before", "version", s.world.Version, "error", why)
}

// newServer makes a server that goes on where from stopped.
func newServer(w world, from handover, sockets sockets) *server {
	if from.Started.IsZero() {
		from.Started = time.Now().UTC().Truncate(time.Millisecond)
	}
	s := &server{world: w, sockets: sockets, started: from.Started, generation: from.Generation, lastID: from.LastID, sessions: map[*session]struct{}{}}
	for _, saved := range from.Sessions {
		if session, err := saved.restore(); err != nil {
			slog.Error("a player was lost", "session", saved.ID, "error", err)
		} else {
			s.sessions[session] = struct{}{}
		}
	}
	return s
}

// reexec replaces this program by what stands at its path now. It only returns
// if that failed, or ctx has ended, with everybody still connected.
func (s *server) reexec(ctx context.Context) error {
	program, err := exec.LookPath(os.Args[0])
	if err != nil {
		return fmt.Errorf("find the program on disk: %w", err)
	}
	s.park()
	if err = ctx.Err(); err == nil { // the next program would not hear of it
		err = s.handOver(program)
	}
	s.start()
	return err
}
