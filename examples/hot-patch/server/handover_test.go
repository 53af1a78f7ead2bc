package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// A crowd plays without a pause while the program is replaced again and again:
// nobody is hung up on, no answer is lost, doubled or mixed up.
func TestNobodyNoticesNewPrograms(t *testing.T) {
	const programs = 40
	g := newGame(t)
	stop := make(chan struct{})
	var crowd sync.WaitGroup
	for i := range 12 {
		p := g.join(t, fmt.Sprintf("player%d", i))
		crowd.Go(func() { scoreUntil(stop, p) })
	}
	for generation := 2; generation <= programs; generation++ {
		g.hangup(t)
		g.wait(t, func(s seen) bool { return s.Generation >= generation })
	}
	close(stop)
	crowd.Wait()
	if s := g.state(); s.PID != g.cmd.Process.Pid || len(s.Players) != 12 {
		t.Errorf("process %d with %d players, was %d with 12", s.PID, len(s.Players), g.cmd.Process.Pid)
	}
}

func scoreUntil(stop <-chan struct{}, p *client) {
	for score := 1; ; score++ {
		select {
		case <-stop:
			return
		default:
		}
		if !p.want("score +1", fmt.Sprintf("score %d", score)) {
			return
		}
	}
}

// A signal that comes while the program is being replaced neither kills it nor
// stops the last one from taking effect.
func TestStormOfSignals(t *testing.T) {
	g := newGame(t)
	p := g.join(t, "ann")
	for range 300 {
		g.hangup(t)
		time.Sleep(time.Millisecond)
	}
	g.install(t, "v2", "a blue lake")
	g.hangup(t)
	g.wait(t, func(s seen) bool { return s.Version == "v2" })
	p.want("score +1", "score 1")
}

// The new program reads its own files; the process, the session and its score
// stay.
func TestNewVersion(t *testing.T) {
	g := newGame(t)
	p := g.join(t, "ann")
	p.want("score +41", "score 41")
	p.want("look", "a green hill")
	before := p.state()
	g.install(t, "v2", "a blue lake")
	p.want("look", "a green hill") // until it is told
	g.hangup(t)
	g.wait(t, func(s seen) bool { return s.Version == "v2" })
	p.want("look", "a blue lake")
	p.want("score +1", "score 42")
	after := p.state()
	if after.Version != "v2" || after.ID != before.ID || after.PID != before.PID || !after.Started.Equal(before.Started) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
}

// Half a line said to one program and half to the next is one line.
func TestHalfALine(t *testing.T) {
	g := newGame(t)
	p := g.join(t, "ann")
	for generation := 2; generation < 6; generation++ {
		p.say("sco")
		time.Sleep(20 * time.Millisecond) // let it be read
		g.hangup(t)
		g.wait(t, func(s seen) bool { return s.Generation == generation })
		p.want("re +1", fmt.Sprintf("score %d", generation-1))
	}
}

// Answers that a slow player has not taken yet are sent by the next program.
func TestSlowListener(t *testing.T) {
	const questions = 200_000
	g := newGame(t)
	p := g.join(t, "ann")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		io.WriteString(p.conn, strings.Repeat("score +1\n", questions))
	}()
	time.Sleep(200 * time.Millisecond) // both directions are full now
	g.hangup(t)
	g.wait(t, func(s seen) bool { return s.Generation == 2 })
	for i := 1; i <= questions; i++ {
		if got := p.hear(); got != fmt.Sprintf("score %d", i) {
			t.Fatalf("answer %d: %q", i, got)
		}
	}
	<-asked
}

// A program that cannot be executed changes nothing.
func TestBrokenProgram(t *testing.T) {
	g := newGame(t)
	p := g.join(t, "ann")
	for _, program := range []string{"", "not a program"} {
		g.replace(t, "server", []byte(program))
		g.hangup(t)
		time.Sleep(50 * time.Millisecond)
		if s := p.state(); s.Generation != 1 || s.Version != "v1" {
			t.Errorf("state %+v", s)
		}
	}
	g.join(t, "ben").want("score +1", "score 1")
	g.install(t, "v2", "a blue lake")
	g.hangup(t)
	g.wait(t, func(s seen) bool { return s.Version == "v2" && len(s.Players) == 2 })
	p.want("score +1", "score 1")
}

func TestTooMuchInOneBreath(t *testing.T) {
	g := newGame(t)
	p := g.join(t, "ann")
	go io.WriteString(p.conn, strings.Repeat("x", 10*maxLine))
	if _, err := p.answers.ReadString('\n'); err == nil {
		t.Error("an endless line was answered")
	}
	g.wait(t, func(s seen) bool { return len(s.Players) == 0 })
}
