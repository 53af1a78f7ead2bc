package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
)

const (
	rounds  = 50
	atOnce  = 20
	enough  = 100_000 // reads
	crowded = 64 * kb // bytes of the file: several writes, were it written in place
)

// crowd has many post at once, time and again, and reads the file all the while.
func (b *bench) crowd(ctx context.Context) error {
	if err := b.letter(0); err != nil {
		return err
	}
	var done atomic.Bool
	var reads, wrong atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil && (!done.Load() || reads.Load() < enough) {
				if !b.whole() {
					wrong.Add(1)
				}
				reads.Add(1)
			}
		})
	}
	var good atomic.Int64
	for range rounds {
		var posts sync.WaitGroup
		for i := range atOnce {
			posts.Go(func() {
				if b.letter(i) == nil {
					good.Add(1)
				}
			})
		}
		posts.Wait()
	}
	done.Store(true)
	readers.Wait()
	b.within(good.Load() == rounds*atOnce, "posts at once")
	b.within(wrong.Load() == 0, "reads torn or missing")
	row(fmt.Sprintf("%d posts at once × %d", atOnce, rounds), "all true", "1 to 5 of 20", "%d of %d good", good.Load(), rounds*atOnce)
	row("reads meanwhile that were torn or missing", "0 of 100,000", "352 of 3,875", "%d of %d", wrong.Load(), reads.Load())
	return ctx.Err()
}

// letter has the file hold nothing but one letter.
func (b *bench) letter(i int) error {
	from := fmt.Sprintf("http://%s/%d/crowd.bin?letter=%c", b.upstream.Addr(), crowded, 'a'+i)
	return b.post(url.Values{"version": {fmt.Sprintf("v%d", i)}, "url": {from}})
}

// whole tells whether the file holds one version, and all of it.
func (b *bench) whole() bool {
	content, err := os.ReadFile(b.dir + "/files/crowd.bin")
	return err == nil && len(content) == crowded && bytes.Count(content, content[:1]) == crowded
}
