package forge

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"hotpatch.dev/hotpatch/gitsource"
)

// Options say which forge. All but Kind may be empty.
type Options struct {
	// Kind is "github", "gitlab" or "gitea".
	Kind string
	// API is the forge's address for programs, Repository the repository's name there
	// with its owner; otherwise both are told from the URL for Git.
	API, Repository string
	// TokenFile holds what to show in place of the credentials for Git.
	TokenFile string
}

// kinds of forges, and where each has its API on a server of one's own.
var kinds = map[string]struct {
	kind
	path string
}{
	"github": {gitHub{}, "/api/v3"},
	"gitlab": {gitLab{}, "/api/v4"},
	"gitea":  {gitea{}, ""},
}

// place is a repository on a forge.
type place struct{ api, owner, name string }

func (p place) repository() string { return p.owner + "/" + p.name }

// New refuses what cannot work, by the name of the flag.
func New(o Options, gitURL string, auth gitsource.Auth) (*Forge, error) {
	is, known := kinds[o.Kind]
	if !known {
		return nil, fmt.Errorf("--commit-status %q: want one of %s", o.Kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	at, err := find(o, gitURL, is.path)
	if err != nil {
		return nil, err
	}
	if o.TokenFile != "" {
		auth.TokenFile = o.TokenFile
		auth.UsernameFile, auth.PasswordFile, auth.AppID, auth.AppInstallationID, auth.AppKeyFile = "", "", "", "", ""
	}
	caller, err := gitsource.NewCaller(auth)
	return &Forge{kind: is.kind, place: at, caller: caller}, err
}

// find derives what is not said. GitHub's own API has a host of its own.
func find(o Options, gitURL, path string) (place, error) {
	web, repository, err := gitsource.Place(gitURL)
	if err != nil && (o.API == "" || o.Repository == "") {
		return place{}, fmt.Errorf("--commit-status: %w; set --commit-status-api and --commit-status-repo", err)
	}
	if web.Path = path; o.Kind == "github" && web.Host == "github.com" {
		web = url.URL{Scheme: "https", Host: "api.github.com"}
	}
	api := strings.TrimSuffix(cmp.Or(o.API, web.String()), "/")
	if u, err := url.Parse(api); err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "https" && u.Scheme != "http" {
		return place{}, errors.New("--commit-status-api: want https://HOST/…, without credentials")
	}
	repository = cmp.Or(o.Repository, repository)
	slash := strings.LastIndexByte(repository, '/')
	if slash <= 0 || slash == len(repository)-1 {
		return place{}, fmt.Errorf("--commit-status-repo %q: want OWNER/NAME", repository)
	}
	return place{api, repository[:slash], repository[slash+1:]}, nil
}
