package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
)

func status(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("status", pflag.ContinueOnError)
	r := record{auth: authFlags(flags)}
	flags.StringVar(&r.repo, "repo", cmp.Or(os.Getenv("HOTPATCH_REPO"), "."), "")
	flags.StringVar(&r.branch, "branch", "hotpatch-status", "")
	flags.StringVar(&r.cluster, "cluster", "", "")
	flags.StringVarP(&r.namespace, "namespace", "n", "", "")
	format := flags.StringP("output", "o", "", "")
	if err := parse(s, flags, args, 1000); err != nil {
		return err
	}
	show, ok := formats[*format]
	if !ok {
		return misuse{fmt.Sprintf("output format %q: want wide, json or yaml", *format), "status"}
	}
	statuses, err := r.read(ctx)
	if len(statuses) == 0 {
		return cmp.Or(err, noRecord(r.branch, r.repo))
	}
	if names := flags.Args(); len(names) > 0 {
		if statuses = only(statuses, names); len(statuses) == 0 {
			return noSuchRecord(names)
		}
	}
	return cmp.Or(show(s, statuses), err)
}

func only(statuses []api.HotPatchStatus, names []string) []api.HotPatchStatus {
	return slices.DeleteFunc(statuses, func(st api.HotPatchStatus) bool {
		return !slices.Contains(names, st.Metadata.Name)
	})
}

var formats = map[string]func(Streams, []api.HotPatchStatus) error{
	"": showTable, "wide": showWide, "json": showJSON, "yaml": showYAML,
}

func showTable(s Streams, statuses []api.HotPatchStatus) error {
	err := statusTable(statuses, time.Now()).print(s.Out)
	for _, st := range statuses {
		printTroubles(s, st)
	}
	return err
}

// showWide shows each HotPatch with its pods.
func showWide(s Streams, statuses []api.HotPatchStatus) error {
	for i, st := range statuses {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if err := statusTable(statuses[i:i+1], time.Now()).print(s.Out); err != nil {
			return err
		}
		printPhase(s, st)
		if err := podTable(st).print(s.Out); err != nil {
			return err
		}
		printTroubles(s, st)
	}
	return nil
}

func showJSON(s Streams, statuses []api.HotPatchStatus) error {
	out := json.NewEncoder(s.Out)
	out.SetIndent("", "  ")
	return out.Encode(statuses)
}

func showYAML(s Streams, statuses []api.HotPatchStatus) error {
	for i, st := range statuses {
		if i > 0 {
			fmt.Fprintln(s.Out, "---")
		}
		doc, err := api.EncodeStatus(st)
		if err != nil {
			return err
		}
		if _, err := s.Out.Write(doc); err != nil {
			return err
		}
	}
	return nil
}
