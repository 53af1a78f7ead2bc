package forge

import (
	"context"

	"github.com/google/go-github/v88/github"
)

// gitHub keeps all statuses that a commit ever had, the newest first.
type gitHub struct{}

var gitHubStates = map[State]string{Pending: "pending", Success: "success", Failure: "failure", Replaced: "error"}

func (gitHub) open(to access) (*github.Client, error) {
	api := to.api + "/"
	return github.NewClient(github.WithHTTPClient(to.client), github.WithAuthToken(to.token), github.WithURLs(&api, nil))
}

func (g gitHub) last(ctx context.Context, to access, commit, name string) (Status, error) {
	client, err := g.open(to)
	if err != nil {
		return Status{}, err
	}
	all, _, err := client.Repositories.ListStatuses(ctx, to.owner, to.name, commit, &github.ListOptions{PerPage: 100})
	for _, s := range all {
		if s.GetContext() == name {
			return Status{stateOf(gitHubStates, s.GetState()), name, s.GetDescription()}, nil
		}
	}
	return Status{}, err
}

func (g gitHub) set(ctx context.Context, to access, commit string, s Status) error {
	client, err := g.open(to)
	if err != nil {
		return err
	}
	state := gitHubStates[s.State]
	_, _, err = client.Repositories.CreateStatus(ctx, to.owner, to.name, commit, github.RepoStatus{State: &state, Context: &s.Name, Description: &s.Words})
	return err
}

// stateOf is the state that a forge has a name for; "" for others.
func stateOf[Name comparable](names map[State]Name, name Name) State {
	for state, is := range names {
		if is == name {
			return state
		}
	}
	return ""
}
