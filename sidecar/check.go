package sidecar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	defaultCheckWait = 10 * time.Second
	maxSeen          = 1 << 20 // bytes of a page or file that a check looks at
)

// checked is a teller that believes nobody: after the process was told it looks
// whether the process shows the new file.
type checked struct {
	teller
	url     string
	file    string // may hold {pid}, the process's
	matches string // regular expression; may hold {version}, {path} and {sha256}
	process string
	wait    time.Duration
	client  *http.Client
}

func newChecked(t teller, c Check, process string) (*checked, error) {
	k := &checked{teller: t, url: c.URL, file: c.File, matches: c.Matches, process: process, client: localClient()}
	if (c.URL == "") == (c.File == "") {
		return nil, errors.New("check: give either url or file")
	}
	if c.File != "" && c.Matches == "" {
		return nil, errors.New("check.matches: say what the file holds after a reload")
	}
	if strings.Contains(c.File, "{pid}") && process == "" {
		return nil, errors.New("check.file: {pid} needs signal.processName")
	}
	if _, err := k.pattern(ask{}); err != nil {
		return nil, fmt.Errorf("check.matches: %w", err)
	}
	var err error
	if k.wait, err = waitOf(c.Wait, defaultCheckWait); err != nil {
		return nil, fmt.Errorf("check.wait: %w", err)
	}
	return k, nil
}

func (k *checked) tell(ctx context.Context, a ask) error {
	if err := k.teller.tell(ctx, a); err != nil {
		return err
	}
	want, err := k.pattern(a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*k.wait)
	defer cancel()
	err = patiently(ctx, k.wait, func() error {
		if err := k.look(ctx, want); err != nil {
			return notYet{err}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the process was told but does not show %s: %w", a.version, err)
	}
	return nil
}

// pattern is what a look must find.
func (k *checked) pattern(a ask) (*regexp.Regexp, error) {
	quoted := strings.NewReplacer(
		"{version}", regexp.QuoteMeta(a.version), "{path}", regexp.QuoteMeta(a.path), "{sha256}", a.sha256)
	return regexp.Compile(quoted.Replace(k.matches))
}

func (k *checked) look(ctx context.Context, want *regexp.Regexp) error {
	where, content, err := k.read(ctx)
	if err != nil {
		return err
	}
	if !want.Match(content) {
		return fmt.Errorf("%s does not match %s", where, want)
	}
	return nil
}

func (k *checked) read(ctx context.Context) (where string, content []byte, err error) {
	if k.url != "" {
		content, err = k.get(ctx)
		return k.url, content, err
	}
	where = k.file
	if strings.Contains(where, "{pid}") {
		p, err := find(k.process)
		if err != nil {
			return where, nil, err
		}
		where = strings.ReplaceAll(where, "{pid}", strconv.Itoa(p.PID))
	}
	f, err := os.Open(where)
	if err != nil {
		return where, nil, err
	}
	defer f.Close()
	content, err = io.ReadAll(io.LimitReader(f, maxSeen))
	return where, content, err
}

func (k *checked) get(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", k.url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxSeen))
}
