package forge

import (
	"context"
	"errors"
	"net/http"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
)

// gitLab has a job without a pipeline's machine for each status.
type gitLab struct{}

var gitLabStates = map[State]gitlab.BuildStateValue{Pending: gitlab.Running, Success: gitlab.Success, Failure: gitlab.Failed, Replaced: gitlab.Canceled}

func (gitLab) open(to access) (*gitlab.Client, error) {
	return gitlab.NewClient(to.token, gitlab.WithBaseURL(to.api), gitlab.WithHTTPClient(to.client), gitlab.WithoutRetries())
}

func (g gitLab) last(ctx context.Context, to access, commit, name string) (Status, error) {
	client, err := g.open(to)
	if err != nil {
		return Status{}, err
	}
	all, _, err := client.Commits.GetCommitStatuses(to.repository(), commit, &gitlab.GetCommitStatusesOptions{Name: &name}, gitlab.WithContext(ctx))
	for _, s := range all {
		if s.Name == name {
			return Status{stateOf(gitLabStates, gitlab.BuildStateValue(s.Status)), name, s.Description}, nil
		}
	}
	return Status{}, err
}

// set cannot change the words of a job that is in that state already: GitLab
// refuses what is no transition, and what it shows is right but for them.
func (g gitLab) set(ctx context.Context, to access, commit string, s Status) error {
	client, err := g.open(to)
	if err != nil {
		return err
	}
	_, _, err = client.Commits.SetCommitStatus(to.repository(), commit,
		&gitlab.SetCommitStatusOptions{State: gitLabStates[s.State], Name: &s.Name, Description: &s.Words}, gitlab.WithContext(ctx))
	if refused := (*gitlab.ErrorResponse)(nil); errors.As(err, &refused) && refused.StatusCode == http.StatusBadRequest && strings.Contains(refused.Message, "Cannot transition status") {
		return nil
	}
	return err
}
