package main

import (
	"bytes"
	"errors"
	"net"
	"os"
)

// maxLine bounds what a player may say in one breath, in bytes.
const maxLine = 4096

// session is one connected player. Its goroutine alone touches it, until it is
// parked.
type session struct {
	player
	conn   net.Conn
	unread []byte // read from the connection, not yet a whole line
	unsent []byte // answered, not yet taken by the connection
}

// errParked ends a session's goroutine without ending the session.
var errParked = errors.New("parked")

// serve answers lines until the connection ends or is parked.
func (s *session) serve(answer func(*player, string) string) error {
	chunk := make([]byte, maxLine)
	for {
		if err := s.answerLines(answer); err != nil {
			return err
		}
		if len(s.unread) > maxLine {
			return errors.New("the line is too long")
		}
		n, err := s.conn.Read(chunk)
		s.unread = append(s.unread, chunk[:n]...)
		if err != nil && n == 0 {
			return whetherParked(err)
		}
	}
}

// answerLines answers every whole line read so far, each sent before the next
// is looked at: a player who does not listen cannot fill our memory.
func (s *session) answerLines(answer func(*player, string) string) error {
	for {
		if err := s.send(); err != nil {
			return err
		}
		line, rest, whole := bytes.Cut(s.unread, []byte("\n"))
		if !whole {
			return nil
		}
		s.unsent = append(s.unsent, answer(&s.player, string(line))+"\n"...)
		s.unread = rest
	}
}

func (s *session) send() error {
	if len(s.unsent) == 0 {
		return nil
	}
	n, err := s.conn.Write(s.unsent)
	s.unsent = s.unsent[n:]
	return whetherParked(err)
}

// whetherParked tells the deadline that parks a session from real failures.
func whetherParked(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errParked
	}
	return err
}
