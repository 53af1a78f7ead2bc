package kube

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"hotpatch.dev/hotpatch/api"
)

// Object reads one object of a namespace. The error says in words what is missing:
// the kind, the object, or the right to read it.
func (c *Cluster) Object(ctx context.Context, namespace, apiVersion, kind, name string) (map[string]any, error) {
	target := api.Target{APIVersion: apiVersion, Kind: kind, Name: name}
	client, err := c.workloads.resource(namespace, target)
	if err != nil {
		return nil, err
	}
	object, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, describe(err, namespace, target)
	}
	return object.Object, nil
}

// Exec runs a command in a container of a pod. It returns the beginning of what the
// command printed, up to limit bytes, and its exit code; an error says that it could
// not be run to its end.
func (c *Cluster) Exec(ctx context.Context, namespace, pod, container string, command []string, limit int) (stdout string, code int, err error) {
	request := c.client.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewWebSocketExecutor(c.config, "GET", request.URL().String())
	if err != nil {
		return "", 0, fmt.Errorf("run a command in container %s: %w", container, err)
	}
	printed := &beginning{left: limit}
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: printed})
	var exit exec.CodeExitError
	var refused *httpstream.UpgradeFailureError
	switch {
	case errors.As(err, &exit):
		return printed.String(), exit.Code, nil
	case errors.As(err, &refused) && apierrors.IsForbidden(refused.Cause):
		return "", 0, fmt.Errorf("the reconciler may not run commands in pods of namespace %s; add components/exec-analysis to the workload's kustomization: %w", namespace, err)
	case err != nil:
		return "", 0, fmt.Errorf("run a command in container %s: %w", container, err)
	}
	return printed.String(), 0, nil
}

// beginning keeps the first bytes that are written. It embeds no buffer: io.Copy
// would go around the limit by the buffer's ReadFrom.
type beginning struct {
	kept []byte
	left int
}

func (b *beginning) Write(p []byte) (int, error) {
	first := p[:min(len(p), b.left)]
	b.left -= len(first)
	b.kept = append(b.kept, first...)
	return len(p), nil
}

func (b *beginning) String() string { return string(b.kept) }
