package sidecar

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/guard"
)

const (
	maxVersion = 128 // bytes
	maxName    = 255 // bytes of one element, as file systems have it
	reserved   = ".hotpatch"
)

var digestPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// ask is one request for a version of a file.
type ask struct {
	path    string // below the directory
	version string
	url     string
	sha256  string // "" if the caller gave none
	force   bool   // tell the process even if nothing changes
	extract bool   // the content is an archive, path the directory made of it
}

// badRequest is the caller's mistake, in the existing sidecar's words where it
// has some.
type badRequest string

func (e badRequest) Error() string { return string(e) }

// parseAsk reads the form: body before query, version before URL.
func parseAsk(r *http.Request) (ask, error) {
	a := ask{version: r.FormValue("version"), url: r.FormValue("url"), sha256: r.FormValue("sha256"), path: r.FormValue("path")}
	switch {
	case !api.ValidVersion(a.version) || len(a.version) > maxVersion:
		return ask{version: "", path: a.path}, badRequest("please provide a valid version")
	case a.url == "":
		return a, badRequest("please provide a valid URL")
	case a.sha256 != "" && !digestPattern.MatchString(a.sha256):
		return a, badRequest("please provide a valid sha256: 64 hex digits in lower case")
	}
	var err error
	if a.force, err = yes(r, "force"); err != nil {
		return a, err
	}
	if a.extract, err = yes(r, "extract"); err != nil {
		return a, err
	}
	return a, a.findPath()
}

func yes(r *http.Request, field string) (bool, error) {
	text := r.FormValue(field)
	value, err := strconv.ParseBool(text)
	if err != nil && text != "" {
		return false, badRequest("please provide a valid " + field + ": 1 or 0")
	}
	return value, nil
}

// findPath checks the path, which is the URL's last element if none was given.
func (a *ask) findPath() error {
	u, err := parseURL(a.url)
	if err != nil {
		return downloadFailed(err)
	}
	if a.path == "" {
		a.path = path.Base(u.Path)
		if a.extract {
			a.path = withoutSuffix(a.path)
		}
		if err := checkPath(a.path); err != nil {
			return downloadFailed(fmt.Errorf("the URL's path ends in no file name: %w", err))
		}
		return nil
	}
	if err := checkPath(a.path); err != nil {
		return badRequest("please provide a valid path: " + err.Error())
	}
	return nil
}

// withoutSuffix is the directory that an archive's name promises.
func withoutSuffix(name string) string {
	for _, suffix := range []string{".tar.gz", ".tgz", ".tar"} {
		if dir, ok := strings.CutSuffix(name, suffix); ok {
			return dir
		}
	}
	return name
}

// parseURL reads a URL without repeating it in the error: it may be secret.
func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	return u, guard.CheckURL(u)
}

func checkPath(p string) error {
	if !api.LocalPath(p) {
		return fmt.Errorf("%q does not stay below the directory", p)
	}
	for element := range strings.SplitSeq(p, "/") {
		switch {
		case len(element) > maxName:
			return fmt.Errorf("a name of %d bytes is too long", len(element))
		case strings.HasPrefix(element, reserved):
			return fmt.Errorf("names in %s… are the sidecar's own", reserved)
		case strings.ContainsFunc(element, unicode.IsControl):
			return fmt.Errorf("%q holds control characters", element)
		}
	}
	return nil
}
