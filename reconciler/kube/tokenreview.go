package kube

import (
	"context"
	"fmt"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Review asks the API server whose token it is. The user is "" when the token is
// not good, or not meant for the audience.
func (c *Cluster) Review(ctx context.Context, token, audience string) (user string, err error) {
	asked := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	said, err := c.client.AuthenticationV1().TokenReviews().Create(ctx, asked, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("have a token reviewed: %w", err)
	}
	// A server that knows no audiences answers with none: not good enough.
	if !said.Status.Authenticated || !slices.Contains(said.Status.Audiences, audience) {
		return "", nil
	}
	return said.Status.User.Username, nil
}
