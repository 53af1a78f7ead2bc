// Command victim swaps once and dies on the way: kill -9 of an agent needs a
// process of its own, and a small one starts soon.
package main

import (
	"context"
	"encoding/gob"
	"fmt"
	"os"
	"syscall"
	"time"

	"hotpatch.dev/hotpatch/nodeagent/swap"
)

// order is what tests send on standard input.
type order struct {
	Request swap.Request
	Held    bool // Hold has filled it in
	// KillAt is a step or moment, "" the beginning; it dies that long After.
	KillAt string
	After  time.Duration
	Skip   int // moments of that name
}

func main() {
	var o order
	if err := gob.NewDecoder(os.Stdin).Decode(&o); err != nil {
		panic(err)
	}
	if o.Held {
		o.Request.Hold = func(*swap.Request) error { return nil }
	}
	o.Request.At = o.at
	o.at("")
	_, err := swap.Do(context.Background(), o.Request)
	if o.After == 0 {
		fmt.Println("still alive:", err)
		os.Exit(1)
	}
	fmt.Println("finished", err) // sooner than it was to die
	select {}
}

func (o *order) at(moment string) {
	switch {
	case moment != o.KillAt:
	case o.Skip > 0:
		o.Skip--
	case o.After > 0:
		go func() {
			for began := time.Now(); time.Since(began) < o.After; {
			}
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}()
	case moment != "":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
