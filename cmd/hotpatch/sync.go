package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const (
	syncTimeout = 15 * time.Second
	maxAnswer   = 4 << 10 // bytes that are shown of what a server says
)

// syncNow has a reconciler poll Git now.
func syncNow(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("sync", pflag.ContinueOnError)
	tokenFile := flags.String("token-file", "", "")
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	where := flags.Arg(0)
	if where == "" {
		where = os.Getenv("HOTPATCH_URL")
	}
	at, err := url.Parse(where)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil {
		return misuse{fmt.Sprintf("%q is no URL of a reconciler: want http://… or https://…, without credentials", where), "sync"}
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if err := trigger(ctx, at.JoinPath("trigger").String(), *tokenFile); err != nil {
		return fmt.Errorf("the reconciler at %s polls by its schedule alone: %w", at.Host, err)
	}
	fmt.Fprintf(s.Out, "the reconciler at %s polls now\n", at.Host)
	return nil
}

func trigger(ctx context.Context, at, tokenFile string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, nil)
	if err != nil {
		return err
	}
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	// A token is for whom it is sent to, and for nobody that they name.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode != http.StatusAccepted {
		return errors.Join(fmt.Errorf("it answers %s: %s", answer.Status, strings.TrimSpace(string(said))), err)
	}
	return nil
}
