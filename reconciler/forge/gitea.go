package forge

import (
	"context"

	sdk "code.gitea.io/sdk/gitea"
)

// gitea is also Forgejo, whose API is the same.
type gitea struct{}

var giteaStates = map[State]sdk.StatusState{Pending: sdk.StatusPending, Success: sdk.StatusSuccess, Failure: sdk.StatusFailure, Replaced: sdk.StatusError}

// open asks no server for its version first: statuses are older than all of them.
func (gitea) open(ctx context.Context, to access) (*sdk.Client, error) {
	return sdk.NewClient(to.api, sdk.SetToken(to.token), sdk.SetHTTPClient(to.client), sdk.SetContext(ctx), sdk.SetGiteaVersion(""))
}

func (g gitea) last(ctx context.Context, to access, commit, name string) (shown Status, err error) {
	client, err := g.open(ctx, to)
	if err != nil {
		return shown, err
	}
	all, _, err := client.ListStatuses(to.owner, to.name, commit, sdk.ListStatusesOption{ListOptions: sdk.ListOptions{PageSize: 50}})
	newest := int64(0)
	for _, s := range all {
		if s.Context == name && s.ID > newest {
			newest, shown = s.ID, Status{stateOf(giteaStates, s.State), name, s.Description}
		}
	}
	return shown, err
}

func (g gitea) set(ctx context.Context, to access, commit string, s Status) error {
	client, err := g.open(ctx, to)
	if err != nil {
		return err
	}
	_, _, err = client.CreateStatus(to.owner, to.name, commit, sdk.CreateStatusOption{State: giteaStates[s.State], Context: s.Name, Description: s.Words})
	return err
}
