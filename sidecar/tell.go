package sidecar

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	defaultWait = 5 * time.Second
	maxWait     = time.Minute
	// lookAgain is the pause while a process has not appeared yet, or does not
	// show the new file yet.
	lookAgain = 100 * time.Millisecond
)

// teller tells the main process of a file that is in place; ask.sha256 is the
// content's. It returns when that was done, or why it could not be.
type teller interface {
	tell(ctx context.Context, a ask) error
}

// silent tells nobody: the process watches the file by itself.
type silent struct{}

func (silent) tell(context.Context, ask) error { return nil }

// teller is how the process learns of a new file.
func (h HotUpdate) teller() (teller, error) {
	t, err := h.way()
	if err != nil || h.Check == nil {
		return t, err
	}
	return newChecked(t, *h.Check, h.Signal.ProcessName)
}

func (h HotUpdate) way() (teller, error) {
	switch h.LoadPatchType {
	case "none":
		return silent{}, nil
	case "signal":
		return newSignaller(h.Signal)
	case "request":
		return newRequester(h.Request)
	}
	return nil, fmt.Errorf("loadPatchType %q is not offered: use signal, request or none", h.LoadPatchType)
}

// waitOf reads a setting of how long to wait for the process.
func waitOf(text string, otherwise time.Duration) (time.Duration, error) {
	wait, err := duration(text, otherwise)
	if err != nil || wait > maxWait {
		return 0, fmt.Errorf("want up to %s, got %q", maxWait, text)
	}
	return wait, nil
}

// notYet is an error that trying again may help.
type notYet struct{ error }

func (e notYet) Unwrap() error { return e.error }

// patiently tries until it works, fails for good, or has failed with notYet for
// as long as wait.
func patiently(ctx context.Context, wait time.Duration, try func() error) error {
	deadline := time.Now().Add(wait)
	for {
		err := try()
		if !errors.As(err, new(notYet)) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w after %s", err, wait)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lookAgain):
		}
	}
}
