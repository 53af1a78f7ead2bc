package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Review asks the API server whose token it is. The user is "" when the token
// is not good, or not meant for audience.
func (c *Client) Review(ctx context.Context, token, audience string) (user string, err error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
		"spec": map[string]any{"token": token, "audiences": []string{audience}},
	})
	if err != nil {
		return "", err
	}
	var review struct {
		Status struct {
			Authenticated bool
			Audiences     []string
			User          struct{ Username string }
		}
	}
	path := "/apis/authentication.k8s.io/v1/tokenreviews"
	if err := c.do(ctx, call{method: http.MethodPost, path: path, contentType: plainJSON, body: body}, &review); err != nil {
		return "", fmt.Errorf("have a token reviewed: %w", err)
	}
	// A server that knows no audiences answers with none: not good enough.
	if !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, audience) {
		return "", nil
	}
	return review.Status.User.Username, nil
}
