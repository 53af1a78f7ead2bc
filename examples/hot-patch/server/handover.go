package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handoverEnv names the descriptor that the next program reads its handover
// from.
const handoverEnv = "GAME_HANDOVER_FD"

// handover is what one program leaves to the next in the same process. Newer
// and older versions read each other's: add fields, never change one.
type handover struct {
	Generation int            `json:"generation"`
	Started    time.Time      `json:"started"`
	LastID     int            `json:"lastID"`
	Game       int            `json:"game"` // descriptor of the players' listener
	Web        int            `json:"web"`
	Sessions   []savedSession `json:"sessions"`
}

// savedSession is a player's connection, by descriptor, with all that was under
// way on it.
type savedSession struct {
	player
	FD     int    `json:"fd"`
	Unread []byte `json:"unread,omitempty"`
	Unsent []byte `json:"unsent,omitempty"`
}

// inherited reads what the program before us left; zero if we are the first.
func inherited() (handover, error) {
	var h handover
	fd, err := strconv.Atoi(os.Getenv(handoverEnv))
	if err != nil {
		return h, nil
	}
	os.Unsetenv(handoverEnv)
	file := os.NewFile(uintptr(fd), "handover")
	defer file.Close()
	if err := json.NewDecoder(file).Decode(&h); err != nil {
		return h, fmt.Errorf("read what the program before us left: %w", err)
	}
	return h, nil
}

// open takes over the listeners, or opens them.
func open(o options, from handover) (s sockets, err error) {
	if s.game, err = listener(from.Game, o.game); err == nil {
		s.web, err = listener(from.Web, o.http)
	}
	return s, err
}

func listener(fd int, address string) (*net.TCPListener, error) {
	if fd == 0 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, err
		}
		return l.(*net.TCPListener), nil
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("take over the listener on %s: %w", address, err)
	}
	return l.(*net.TCPListener), nil
}

func (s savedSession) restore() (*session, error) {
	file := os.NewFile(uintptr(s.FD), "player")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return &session{player: s.player, conn: conn, unread: s.Unread, unsent: s.Unsent}, nil
}

// handOver executes program with all our sockets. Everyone must be parked. It
// only returns on failure, and then leaves nothing behind.
func (s *server) handOver(program string) error {
	bag := &descriptors{}
	defer bag.close()
	h := handover{Generation: s.generation, Started: s.started, LastID: s.lastID, Game: bag.inherit(s.sockets.game), Web: bag.inherit(s.sockets.web)}
	for session := range s.sessions {
		h.Sessions = append(h.Sessions, savedSession{player: session.player, FD: bag.inherit(session.conn.(*net.TCPConn)), Unread: session.unread, Unsent: session.unsent})
	}
	letter := bag.letter(h)
	if bag.err != nil {
		return fmt.Errorf("hand over: %w", bag.err)
	}
	return s.execute(program, fmt.Sprintf("%s=%d", handoverEnv, letter))
}

// execute replaces the program. A SIGHUP between two programs would kill the
// process, so it is ignored meanwhile; the next program asks replaced instead.
func (s *server) execute(program, env string) error {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Notify(s.hangup, syscall.SIGHUP)
	err := syscall.Exec(program, os.Args, append(os.Environ(), env))
	return fmt.Errorf("execute %s: %w", program, err)
}

// replaced tells whether another program stands at our path than we are.
func replaced() bool {
	program, err := exec.LookPath(os.Args[0])
	if err != nil {
		return false
	}
	onDisk, err := os.Stat(program)
	if err != nil {
		return false
	}
	running, err := os.Stat("/proc/self/exe")
	return err == nil && !os.SameFile(onDisk, running)
}

// descriptors are those that the next program inherits. The first failure
// stays; what follows it does nothing.
type descriptors struct {
	fds []int
	err error
}

// inherit duplicates a socket's descriptor without close-on-exec. The original
// keeps its flags, so that we can go on if the next program does not start.
func (d *descriptors) inherit(socket syscall.Conn) int {
	fd := -1
	if d.err != nil {
		return fd
	}
	raw, err := socket.SyscallConn()
	if err == nil {
		raw.Control(func(original uintptr) { fd, err = unix.FcntlInt(original, unix.F_DUPFD, 3) })
	}
	return d.keep(fd, err)
}

// letter writes the handover to memory that outlives the program. It is written
// at an offset, so that the reader finds its beginning.
func (d *descriptors) letter(h handover) int {
	if d.err != nil {
		return -1
	}
	content, err := json.Marshal(h)
	if err != nil {
		return d.keep(-1, err)
	}
	fd, err := unix.MemfdCreate("handover", 0)
	if d.keep(fd, err); err == nil {
		_, d.err = unix.Pwrite(fd, content, 0)
	}
	return fd
}

func (d *descriptors) keep(fd int, err error) int {
	if d.err = err; err == nil {
		d.fds = append(d.fds, fd)
	}
	return fd
}

func (d *descriptors) close() {
	for _, fd := range d.fds {
		unix.Close(fd)
	}
}
