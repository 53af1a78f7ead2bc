package gitsource

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// scpLike is the short form for SSH: git@host:path, without a scheme.
var scpLike = regexp.MustCompile(`^(?:[A-Za-z0-9_.][A-Za-z0-9._-]*@)?(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):[^:?#]+$`)

// IsURL tells a Git server's URL from a directory of this machine.
func IsURL(place string) bool { return strings.Contains(place, "://") || isSCPLike(place) }

func isSCPLike(text string) bool { return !strings.Contains(text, "://") && scpLike.MatchString(text) }

// CheckURL refuses what we do not speak, and credentials in URLs: those end up
// in logs and errors. Its own errors quote no URL that may hold one.
func CheckURL(text string) error {
	if isSCPLike(text) {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("the Git URL cannot be parsed; want https://host/path or ssh://git@host/path")
	}
	if _, password := u.User.Password(); password || u.RawQuery != "" || u.User != nil && u.Scheme != "ssh" {
		return errors.New("the Git URL must not hold a password, a token or a query; put credentials into files")
	}
	switch u.Scheme {
	case "http", "https", "ssh":
		if u.Host == "" {
			return fmt.Errorf("the Git URL %s names no host", text)
		}
		return nil
	case "file":
		return nil
	}
	return fmt.Errorf("the Git URL %s is none that can be followed: want https://, http://, ssh://, git@host:path or file://", text)
}
