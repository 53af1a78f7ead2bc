package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"hotpatch.dev/hotpatch/internal/atomicfile"
)

func (b *bench) binary(context.Context) error {
	info, err := os.Stat(program)
	if err != nil {
		return err
	}
	b.within(info.Size() <= 12e6, "binary")
	row("binary", "≤ 12 MB", "47.7 MB", "%.1f MB", float64(info.Size())/1e6)
	return nil
}

// starts leaves the last sidecar running.
func (b *bench) starts(ctx context.Context) error {
	var took []time.Duration
	for range starts {
		if err := b.end(); err != nil {
			return err
		}
		begun := time.Now()
		if err := b.start(ctx); err != nil {
			return err
		}
		took = append(took, time.Since(begun))
	}
	b.within(median(took) <= 100*time.Millisecond, "cold start")
	row("cold start to ready, median", "≤ 100 ms", "", "%s", short(median(took)))
	return nil
}

// idle measures a sidecar that nobody asks for anything.
func (b *bench) idle(ctx context.Context) error {
	before, err := b.usage()
	if err != nil {
		return err
	}
	const pause = 10 * time.Second
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
	}
	after, err := b.usage()
	if err != nil {
		return err
	}
	b.within(after.resident <= 10, "memory, idle")
	b.within(after.anonymous <= 4, "of it anonymous")
	b.within(after.cpu == before.cpu, "processor time, idle")
	row("memory (RSS), idle", "≤ 10 MB", "38.9 MB", "%.1f MB", after.resident)
	row("of it anonymous", "≤ 4 MB", "6.8 MB", "%.1f MB", after.anonymous)
	row("processor time in 10 s, idle", "none", "", "%s, %d wake-ups", after.cpu-before.cpu, after.wakeups-before.wakeups)
	return nil
}

// latencies are from a POST to the signal, without the time that the upstream
// takes to send its answer.
func (b *bench) latencies(ctx context.Context) error {
	for _, c := range []struct {
		name, target, existing string
		size, times            int
		limit                  time.Duration
	}{{"1 KB", "≤ 2 ms", "4.9 ms", kb, posts, 2 * time.Millisecond}, {"1 MB", "", "10 ms", mb, posts / 4, time.Minute}, {"50 MB", "", "112 ms", 50 * mb, 5, time.Minute}} {
		var took []time.Duration
		for range c.times {
			d, err := b.update(ctx, c.size)
			if err != nil {
				return err
			}
			took = append(took, d)
		}
		b.within(median(took) <= c.limit, "POST → signal, "+c.name)
		row("POST → signal, "+c.name+", median", c.target, c.existing, "%s", short(median(took)))
	}
	return nil
}

// disk is what an update cannot do without: to have 1 KB on the disk, under its name.
// It says how much of the time to the signal is the disk's, which others use as well.
func (b *bench) disk(context.Context) error {
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var took []time.Duration
	for range posts {
		begun := time.Now()
		if err := atomicfile.Write(root, "file", make([]byte, kb)); err != nil {
			return err
		}
		took = append(took, time.Since(begun))
	}
	row("to write and rename 1 KB durably, median", "", "", "%s", short(median(took)))
	return nil
}

// growth is what the memory that nobody else can have may grow by and still be flat.
const growth = 1 // MB

// flat looks at the memory, and whether it is what it was before.
func (b *bench) flat(what string) (usage, error) {
	u, err := b.usage()
	b.within(u.anonymous <= b.used.anonymous+growth, what)
	b.used = u
	return u, err
}

// manyUpdates come after a few: what those have made grow is there for good.
func (b *bench) manyUpdates(ctx context.Context) (err error) {
	if b.used, err = b.usage(); err != nil {
		return err
	}
	for range many {
		if _, err := b.update(ctx, kb); err != nil {
			return err
		}
	}
	what := fmt.Sprintf("memory after %d updates", many)
	u, err := b.flat(what)
	row(what, "flat", "43 MB after 160", "%.1f MB, %.1f MB anonymous", u.resident, u.anonymous)
	return err
}

func (b *bench) largeFile(ctx context.Context) error {
	begun := time.Now()
	if _, err := b.update(ctx, gb); err != nil {
		return err
	}
	took := time.Since(begun)
	const what = "memory after a file of 1 GB"
	u, err := b.flat(what)
	row(what, "flat", "", "%.1f MB, %.1f MB anonymous; it took %s", u.resident, u.anonymous, short(took))
	return err
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// short is a duration in three digits or so.
func short(d time.Duration) string {
	if d > time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
