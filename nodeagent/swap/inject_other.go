//go:build !amd64

package swap

import "errors"

// tools is empty: nothing is done where the registers and signal frames of a
// machine are not known, and that is said.
type tools struct{}

type guest struct{}

const unsupported = "moving it is not supported here, on this kind of processor"

func (s *swap) findTools(string) (tools, error) { return tools{}, errors.New(unsupported) }

func examine(*thread) (readiness, string) { return unusable, unsupported }

func (m *mover) enter(*thread) (*guest, error) { return nil, errors.New(unsupported) }

func (g *guest) chdir(string) error { return errors.New(unsupported) }

func (g *guest) leave() error { return nil }
