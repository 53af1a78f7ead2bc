package main

import (
	"context"
	"fmt"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// gather lets people join every game server.
func (d *demo) gather(ctx context.Context) (err error) {
	d.crowd, err = d.Gather(ctx, "game-server", perServer, 20*time.Millisecond)
	return err
}

// edit changes a file of the clone and shows how.
func (d *demo) edit(file, old, new string) error {
	typed("sed -i 's/%s/%s/' %s", old, new, file)
	return d.repo.Replace(file, old, new)
}

// push commits and pushes, and waits until the record says how far it came.
func (d *demo) push(ctx context.Context, message, hotpatch string, phase api.Phase, updated, total int) error {
	typed("git commit -am %q && git push", message)
	began := time.Now()
	if err := d.repo.Push(ctx, message); err != nil {
		return err
	}
	if err := d.settled(ctx, hotpatch, phase, updated, total); err != nil {
		return err
	}
	fmt.Printf("  … committed to hotpatch-status %s after the push began\n", time.Since(began).Round(10*time.Millisecond))
	return nil
}

// settled waits until the record says so of what was pushed.
func (d *demo) settled(ctx context.Context, hotpatch string, phase api.Phase, updated, total int) error {
	_, err := d.Settled(ctx, d.repo, hotpatch, phase, updated, total, patience)
	return err
}
