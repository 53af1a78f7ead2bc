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
	Death
}

// Death is at a step or moment, "" the beginning, or that long After.
type Death struct {
	KillAt string
	After  time.Duration
	Skip   int            // moments of that name
	Signal syscall.Signal // sent to a process just before; 0: none
	To     int
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
		if o.Signal != 0 {
			syscall.Kill(o.To, o.Signal)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
