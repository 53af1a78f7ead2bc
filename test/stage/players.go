package stage

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Player is one client of a game server, with one connection that it never
// opens again.
type Player struct {
	Pod   string
	Name  string
	Score int

	mu   sync.Mutex // one question at a time
	conn net.Conn
	in   *bufio.Reader
}

// Answer is what the game server says of a session.
type Answer struct {
	Session    int
	Name       string
	Score      int
	Version    string
	PID        int
	Started    time.Time
	Generation int
}

// Join connects to a game server and joins the game.
func Join(pod, address, name string) (*Player, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	p := &Player{Pod: pod, Name: name, conn: conn, in: bufio.NewReader(conn)}
	if _, err := p.ask("join " + name); err != nil {
		conn.Close()
		return nil, err
	}
	return p, nil
}

// Play scores one point and checks that the server remembers all before.
func (p *Player) Play() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := p.ask("score +1")
	if err != nil {
		return fmt.Errorf("player %s on %s: %w", p.Name, p.Pod, err)
	}
	p.Score++
	if want := fmt.Sprintf("score %d", p.Score); line != want {
		return fmt.Errorf("player %s on %s: the server says %q, want %q", p.Name, p.Pod, line, want)
	}
	return nil
}

// State asks the server what it knows of the session.
func (p *Player) State() (a Answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, err := p.ask("state")
	if err != nil {
		return a, fmt.Errorf("player %s on %s: %w", p.Name, p.Pod, err)
	}
	err = json.Unmarshal([]byte(line), &a)
	if err == nil && (a.Name != p.Name || a.Score != p.Score) {
		err = fmt.Errorf("player %s on %s: the server takes us for %q with score %d, want %d", p.Name, p.Pod, a.Name, a.Score, p.Score)
	}
	return a, err
}

// Ask is what a newcomer is told of a game server.
func Ask(pod, address string) (Answer, error) {
	p, err := Join(pod, address, "newcomer")
	if err != nil {
		return Answer{}, err
	}
	defer p.Leave()
	return p.State()
}

// Leave ends the connection.
func (p *Player) Leave() { p.conn.Close() }

func (p *Player) ask(line string) (string, error) {
	if err := p.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintln(p.conn, line); err != nil {
		return "", err
	}
	answer, err := p.in.ReadString('\n')
	return strings.TrimSpace(answer), err
}
