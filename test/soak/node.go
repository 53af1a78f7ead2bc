package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"hotpatch.dev/hotpatch/test/stage"
)

// node is the containerd of the cluster's first node.
type node struct {
	*client.Client
	images cri.ImageServiceClient
}

func openNode() (*node, error) {
	c, err := client.New(stage.ContainerdSocket, client.WithTimeout(10*time.Second))
	if err != nil {
		return nil, err
	}
	conn, ok := c.Conn().(grpc.ClientConnInterface)
	if !ok {
		return nil, errors.New("containerd's client has no gRPC connection")
	}
	return &node{c, cri.NewImageServiceClient(conn)}, nil
}

// collectEvery is how long it is left alone in between.
const collectEvery = 200 * time.Millisecond

// collect removes, as kubelet would on a full disk, the images that no container
// was started from; containerd then collects all that nobody holds on to.
func (n *node) collect(ctx context.Context) (times int, err error) {
	for ctx.Err() == nil {
		for _, version := range versions {
			image, err := stage.GameServer(version)
			if err != nil {
				return times, err
			}
			if _, err := n.images.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: image}}); err != nil {
				return times, ended(ctx, fmt.Errorf("remove image %s: %w", image, err))
			}
		}
		times++
		time.Sleep(collectEvery)
	}
	return times, nil
}

// ended is no error once we were told to stop.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// leftovers waits until no root that an agent made is left: the containers are
// gone.
func (n *node) leftovers(ctx context.Context) error {
	ctx = namespaces.WithNamespace(ctx, "k8s.io")
	return stage.Eventually(ctx, time.Minute, func(ctx context.Context) error {
		var left []string
		err := n.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			if strings.Contains(info.Name, "-hotpatch-") {
				left = append(left, info.Name)
			}
			return nil
		})
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%d roots were left behind, the first is %s", len(left), left[0])
		}
		return err
	})
}
