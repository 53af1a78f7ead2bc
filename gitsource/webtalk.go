package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// olderFor is how long a server is taken for one of an older version.
const olderFor = time.Hour

// met is what is known of the server at a URL: it is greeted once, not at each poll.
type met struct {
	mu   sync.Mutex
	url  string
	base string // where it speaks version 2; "": nowhere
	at   time.Time
}

func (m *met) get(url string) (base string, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known = m.url == url && (m.base != "" || time.Since(m.at) < olderFor)
	return m.base, known
}

func (m *met) set(url, base string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.url, m.base, m.at = url, base, time.Now()
}

// openHTTP asks in version 2, or has go-git ask in an older one.
func (r *remote) openHTTP(ctx context.Context, e *transport.Endpoint) (session, error) {
	t, err := r.newWebTalk(ctx)
	if err != nil {
		return nil, err
	}
	base, known := r.met.get(r.URL)
	if !known {
		if base, err = t.greet(ctx, e.String()); err != nil && !errors.Is(err, errOlder) {
			return nil, err
		}
		r.met.set(r.URL, base)
	}
	if base == "" {
		return openOlder(ctx, t.older(), e, t.method())
	}
	t.base = base
	opened, err := listNarrowly(ctx, t, r.prefix())
	if err != nil {
		r.met.set("", "") // who knows what is there now
	}
	return opened, err
}

// webTalk asks by POST.
type webTalk struct {
	client     *http.Client
	credential githttp.AuthMethod // nil without one
	base       string
}

func (r *remote) newWebTalk(ctx context.Context) (*webTalk, error) {
	via, err := r.web.transport()
	if err != nil {
		return nil, err
	}
	credential, err := r.credential(ctx)
	return &webTalk{client: &http.Client{Transport: via, CheckRedirect: stayHere}, credential: credential}, err
}

// older is go-git's way, over the same connections.
func (t *webTalk) older() transport.Transport {
	return githttp.NewClient(&http.Client{Transport: t.client.Transport})
}

// method is the credential as go-git wants it: no interface around nothing.
func (t *webTalk) method() transport.AuthMethod {
	if t.credential == nil {
		return nil
	}
	return t.credential
}

// stayHere follows redirects of the greeting to another path of the same server
// alone: credentials go nowhere else. go-git follows the others, without them.
func stayHere(next *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > 5 || first.Method != http.MethodGet || next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

const infoRefs = "/info/refs"

// greet asks what a server can do, and is where to ask it from then on.
func (t *webTalk) greet(ctx context.Context, url string) (base string, err error) {
	answer, err := t.do(ctx, http.MethodGet, url+infoRefs+"?service="+transport.UploadPackServiceName, nil)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	where := *answer.Request.URL
	where.RawQuery = ""
	base, found := strings.CutSuffix(where.String(), infoRefs)
	if answer.StatusCode != http.StatusOK || !found {
		return "", errOlder
	}
	_, said, err := readLine(answer.Body)
	if err == nil && strings.HasPrefix(string(said), "# service=") {
		var kind mark
		if kind, _, err = readLine(answer.Body); err == nil && kind == flush {
			_, said, err = readLine(answer.Body)
		}
	}
	if err != nil {
		return "", err
	}
	if string(said) != "version 2" {
		return "", errOlder
	}
	return base, readGreeting(answer.Body)
}

func (t *webTalk) ask(ctx context.Context, request []byte) (io.ReadCloser, error) {
	answer, err := t.do(ctx, http.MethodPost, t.base+"/"+transport.UploadPackServiceName, request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("the server answers %s", answer.Status)
	}
	return answer.Body, nil
}

func (t *webTalk) do(ctx context.Context, method, url string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "git/2.0 (hotpatch)") // some forges look for git/
	r.Header.Set("Git-Protocol", "version=2")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		r.Header.Set("Accept", "application/x-git-upload-pack-result")
	}
	if t.credential != nil {
		t.credential.SetAuth(r)
	}
	return t.client.Do(r)
}

func (t *webTalk) Close() error { return nil }
