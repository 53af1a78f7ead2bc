package gates

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/internal/authorities"
)

// Credentials is a directory with one for each name, as Secrets are mounted. They
// are read for every request, because mounted Secrets rotate.
type Credentials string

// maxCredential bounds each file.
const maxCredential = 256 << 10

// credential is what one request is made with. The zero value adds nothing.
type credential struct {
	name    string
	hosts   []string
	header  http.Header
	roots   *x509.CertPool // nil: those of the system
	secrets []string
}

// of reads the credential of a name. It is for the hosts that it names itself: those
// who write HotPatches must not be able to have it sent elsewhere.
func (c Credentials) of(name string, to *url.URL) (credential, error) {
	if name == "" {
		return credential{}, nil
	}
	read := credential{name: name, header: http.Header{}}
	if err := read.load(filepath.Join(string(c), name)); err != nil {
		return credential{}, fmt.Errorf("credentials %s: %w", name, err)
	}
	if !slices.Contains(read.hosts, to.Host) {
		return credential{}, fmt.Errorf("credentials %s are not for %s; their file hosts names those that they may be sent to", name, to.Host)
	}
	return read, nil
}

// load reads the files of one, of which only hosts must be there.
func (c *credential) load(dir string) error {
	files := map[string]string{}
	for _, name := range []string{"hosts", "token", "username", "password", "headers", "ca.crt"} {
		content, err := readFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("file %s cannot be read: %w", name, err)
		}
		files[name] = content
	}
	c.hosts = strings.Fields(files["hosts"])
	if len(c.hosts) == 0 {
		return errors.New("there is no file hosts, or it is empty; mount a Secret with one, which names host or host:port of the servers that they are for")
	}
	if ca, given := files["ca.crt"]; given {
		c.roots = x509.NewCertPool()
		if err := authorities.Add(c.roots, ca); err != nil {
			return fmt.Errorf("file ca.crt %w", err)
		}
	}
	return c.fill(files)
}

// fill sets the headers.
func (c *credential) fill(files map[string]string) error {
	for line := range strings.Lines(files["headers"]) {
		name, value, ok := strings.Cut(line, ":")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !ok || !c.add(strings.TrimSpace(name), strings.TrimSpace(value)) {
			return errors.New("file headers: want lines such as \"X-Scope-OrgID: games\"")
		}
	}
	token, username, password := strings.TrimSpace(files["token"]), strings.TrimSpace(files["username"]), strings.TrimSpace(files["password"])
	switch {
	case token != "" && username != "":
		return errors.New("give either token, or username and password")
	case token != "" && !c.add("Authorization", "Bearer "+token):
		return errors.New("file token holds what no header can")
	case username != "":
		basic := http.Request{Header: c.header}
		basic.SetBasicAuth(username, password)
	}
	c.secrets = append(c.secrets, token, password, strings.TrimPrefix(c.header.Get("Authorization"), "Basic "))
	return nil
}

// add sets a header, if both can be one.
func (c *credential) add(name, value string) bool {
	if name == "" || strings.ContainsAny(name, " \t\r\n") || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	c.header.Set(name, value)
	c.secrets = append(c.secrets, value)
	return true
}

// hide takes the secrets out of words: a server may repeat what it was sent.
func (c credential) hide(words string) string {
	for _, secret := range c.secrets {
		if secret != "" {
			words = strings.ReplaceAll(words, secret, "…")
		}
	}
	return words
}

// client is one that trusts what the credential says, and takes it nowhere else.
func (c credential) client(base *http.Client) *http.Client {
	if c.name == "" {
		return base
	}
	own := *base
	own.CheckRedirect = func(*http.Request, []*http.Request) error {
		return fmt.Errorf("it redirects, and credentials %s go nowhere else", c.name)
	}
	if transport, ok := base.Transport.(*http.Transport); ok && c.roots != nil {
		transport = transport.Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12}
		own.Transport = transport
	}
	return &own
}

// readFile reads a file of bounded size; an error does not name where it is mounted.
func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", withoutPath(err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxCredential+1))
	if err == nil && len(content) > maxCredential {
		err = fmt.Errorf("it has more than %d bytes", maxCredential)
	}
	return string(content), withoutPath(err)
}

func withoutPath(err error) error {
	var wrapped *fs.PathError
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
