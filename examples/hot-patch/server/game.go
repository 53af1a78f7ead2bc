package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// world is what the files of the image say. They are read once, at the start
// of each program.
type world struct {
	Version string
	Text    string
}

func readWorld(dir string) (world, error) {
	version, err := os.ReadFile(filepath.Join(dir, "version"))
	if err != nil {
		return world{}, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "world.txt"))
	return world{Version: strings.TrimSpace(string(version)), Text: strings.TrimSpace(string(text))}, err
}

// player is what must survive a change of the program.
type player struct {
	ID    int    `json:"session"`
	Name  string `json:"name"`
	Score int    `json:"score"`
}

// process is what a player may know about the program that answers.
type process struct {
	Version    string    `json:"version"` // of the files
	Build      string    `json:"build"`   // of the program
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`    // of the process: a new program keeps it
	Generation int       `json:"generation"` // how many programs this process has been
}

// state is the answer to "state".
type state struct {
	player
	process
}

// play answers one line of a player with one line.
func play(p *player, w world, now process, line string) string {
	command, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch command {
	case "join":
		if argument == "" {
			return "error: who are you? join NAME"
		}
		p.Name = argument
		return fmt.Sprintf("welcome %s, you are session %d", p.Name, p.ID)
	case "score":
		points, err := strconv.Atoi(argument)
		if err != nil {
			return "error: how many points? score +1"
		}
		p.Score += points
		return fmt.Sprintf("score %d", p.Score)
	case "look":
		return w.Text
	case "state":
		answer, _ := json.Marshal(state{*p, now}) // plain values: cannot fail
		return string(answer)
	}
	return "error: say join NAME, score +1, look or state"
}
