package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/guard"
)

// Limits of one call of a sidecar: its download is part of it.
const (
	callTimeout = 30 * time.Second
	dialTimeout = 2 * time.Second
	maxAnswer   = 64 << 10
)

// sidecars calls the sidecars of pods.
type sidecars struct {
	client    *http.Client
	scheme    string // http or https
	tokenFile string // of a projected ServiceAccount token; "" sends none
}

func newSidecars(tokenFile string, over SidecarTLS) *sidecars {
	return &sidecars{
		scheme:    over.scheme(),
		tokenFile: tokenFile,
		client: &http.Client{
			Timeout: callTimeout,
			// A sidecar that answers with a redirect is not one: the token
			// must not follow it.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
				DialTLSContext:      over.dial,
				MaxIdleConnsPerHost: 1,
				IdleConnTimeout:     10 * time.Second,
			},
		},
	}
}

// update has the sidecar at address ("ip:port") put one file in place. It takes
// no call for another pod's uid: an address is soon given to the next pod. What
// it did is read from the pod later; an error says why it did nothing.
func (s *sidecars) update(ctx context.Context, address, uid string, file api.DesiredFile) error {
	request, err := s.request(ctx, address, uid, file)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("file %s: no answer from the sidecar at %s: %w", file.Path, address, guard.WithoutURL(err))
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("file %s: the sidecar at %s broke off its answer: %w", file.Path, address, err)
	}
	return judge(answer, body, file)
}

func (s *sidecars) request(ctx context.Context, address, uid string, file api.DesiredFile) (*http.Request, error) {
	form := url.Values{
		"version": {file.Version},
		"url":     {file.URL},
		"sha256":  {file.SHA256},
		"path":    {file.Path},
		"uid":     {uid},
	}
	if file.Extract {
		form.Set("extract", "1")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.scheme+"://"+address+"/hot-update", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	if s.tokenFile == "" {
		return request, nil
	}
	token, err := readToken(s.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("the token for sidecars cannot be read: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return request, nil
}

// judge reads a sidecar's answer. One that knows no JSON is believed by its
// code; the pod's annotation has the last word either way.
func judge(answer *http.Response, body []byte, file api.DesiredFile) error {
	var seen api.ObservedFile
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if kind == "application/json" {
		if err := json.Unmarshal(body, &seen); err != nil {
			return fmt.Errorf("file %s: the sidecar's answer is not readable: %w", file.Path, err)
		}
	}
	if answer.StatusCode == http.StatusOK && seen.State != api.FileFailed {
		return nil
	}
	words := seen.Message
	if words == "" {
		words = shorten(string(body), maxWords)
	}
	said := refusal{fmt.Sprintf("file %s: the sidecar answers %d: %s", file.Path, answer.StatusCode, words)}
	switch answer.StatusCode {
	case http.StatusOK, http.StatusBadRequest, http.StatusInternalServerError:
		return said
	}
	return errors.New(said.words) // who may not ask, or not now, learns nothing of the file
}

// refusal is an answer of a sidecar about a file: it was asked to put it in place,
// and did not.
type refusal struct{ words string }

func (r refusal) Error() string { return r.words }

const maxWords = 300
