// Package credentials reads what a pod's imagePullSecrets have for an image, as
// kubelet would. It promises that no error holds any of it.
package credentials

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	keychain "github.com/google/go-containerregistry/pkg/authn/kubernetes"
	"github.com/google/go-containerregistry/pkg/name"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Of a pod for an image; nil if none of its secrets is for the image's registry.
// With an error come those that could be read.
func Of(ctx context.Context, kube kubernetes.Interface, pod *corev1.Pod, image string) (*cri.AuthConfig, error) {
	if len(pod.Spec.ImagePullSecrets) == 0 {
		return nil, nil
	}
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, err
	}
	var secrets []corev1.Secret
	var errs []error
	for _, reference := range pod.Spec.ImagePullSecrets {
		secret, err := kube.CoreV1().Secrets(pod.Namespace).Get(ctx, reference.Name, metav1.GetOptions{})
		if err != nil {
			errs = append(errs, fmt.Errorf("read imagePullSecret %s of namespace %s, for which the agent needs a role there (components/pull-secrets): %w", reference.Name, pod.Namespace, err))
			continue
		}
		secrets = append(secrets, *secret)
	}
	auth, err := match(ctx, secrets, ref.Context())
	return auth, errors.Join(append(errs, err)...)
}

// match finds a registry's credentials as kubelet does.
func match(ctx context.Context, secrets []corev1.Secret, repository name.Repository) (*cri.AuthConfig, error) {
	keys, err := keychain.NewFromPullSecrets(ctx, secrets)
	if err != nil {
		return nil, fmt.Errorf("read the imagePullSecrets: %w", err)
	}
	found, err := keys.Resolve(repository)
	if err != nil || found == authn.Anonymous {
		return nil, err
	}
	auth, err := found.Authorization()
	if err != nil {
		return nil, err
	}
	return &cri.AuthConfig{Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
		IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken}, nil
}
