package gitsource

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// answerError is an answer over HTTP that is none of Git's.
type answerError struct {
	code  int
	page  bool   // for people: a login, a portal
	words string // of the server, if they are no page
	until time.Time
}

func (e *answerError) Error() string {
	if e.code == http.StatusOK {
		return "the server answers with a page for people"
	}
	said := fmt.Sprintf("the server answers %d %s", e.code, http.StatusText(e.code))
	if e.words != "" {
		said += ": " + e.words
	}
	return said
}

// Is has go-git's errors tell the same.
func (e *answerError) Is(target error) bool {
	switch e.code {
	case http.StatusUnauthorized:
		return target == transport.ErrAuthenticationRequired
	case http.StatusForbidden:
		return target == transport.ErrAuthorizationFailed
	case http.StatusNotFound:
		return target == transport.ErrRepositoryNotFound
	}
	return false
}

// hint is what to do.
func (e *answerError) hint() string {
	switch {
	case !e.until.IsZero():
		return fmt.Sprintf("; it is asked again after %s: poll less often, or let webhooks tell", e.until.UTC().Format("15:04:05 UTC"))
	case e.code == http.StatusUnauthorized, e.code == http.StatusForbidden:
		return "; check the credential files"
	case e.code == http.StatusNotFound:
		return "; check the URL, and whether the credentials may see the repository"
	case e.code == http.StatusProxyAuthRequired:
		return "; check the proxy in HTTPS_PROXY"
	case e.code == http.StatusOK:
		return "; what answers there is not a Git server but perhaps a login: check the URL and the credential files"
	case e.code >= 500:
		return "; it is for the server's owner to look"
	}
	return ""
}

// answers has every answer that is none of Git's be an error, and keeps silent
// where a server asked for that.
type answers struct {
	web *web
	via http.RoundTripper
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if silence := a.web.silence.of(r.URL.Host); silence != nil {
		return nil, silence
	}
	response, err := a.via.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if wrong := judgeAnswer(response); wrong != nil {
		if repeats(r, wrong.words) {
			wrong.words = ""
		}
		response.Body.Close()
		a.web.silence.keep(r.URL.Host, wrong)
		if wrong.code == http.StatusUnauthorized && a.web.refused != nil {
			a.web.refused()
		}
		return nil, wrong
	}
	response.Body = whole{response.Body}
	return response, nil
}

// whole tells an answer that was cut short from one that makes no sense: go-git
// calls both an invalid length.
type whole struct{ io.ReadCloser }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = fmt.Errorf("the answer was cut short: %w", err)
	}
	return n, err
}

// repeats tells whether a server's words hold what was shown to it.
func repeats(r *http.Request, words string) bool {
	_, password, _ := r.BasicAuth()
	_, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return password != "" && strings.Contains(words, password) || shown != "" && strings.Contains(words, shown)
}

func judgeAnswer(r *http.Response) *answerError {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	page := kind == "text/html"
	if r.StatusCode < 400 && (!page || r.StatusCode >= 300) {
		return nil
	}
	wrong := &answerError{code: r.StatusCode, page: page}
	if !page {
		said, _ := io.ReadAll(io.LimitReader(r.Body, 4*maxWords)) // what there is of it
		wrong.words = words(string(said))
	}
	asked := r.Header.Get("Retry-After")
	if r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable && asked != "" {
		wrong.until = time.Now().Add(silenceFor(asked, time.Now()))
	}
	return wrong
}
