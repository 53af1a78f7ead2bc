package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/internal/buildinfo"
)

func version(_ context.Context, s Streams, args []string) error {
	if err := parse(s, pflag.NewFlagSet("version", pflag.ContinueOnError), args, 0); err != nil {
		return err
	}
	fmt.Fprintln(s.Out, buildinfo.Line("hotpatch"))
	return nil
}
