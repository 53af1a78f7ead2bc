package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/pflag"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
	"hotpatch.dev/hotpatch/reconciler/render"
)

func validate(ctx context.Context, s Streams, args []string) error {
	flags := pflag.NewFlagSet("validate", pflag.ContinueOnError)
	where := wishFlags(flags)
	schema := flags.String("schema", "", "")
	flags.Lookup("schema").NoOptDefVal = api.KindHotPatch
	if err := parse(s, flags, args, 1); err != nil {
		return err
	}
	if *schema != "" {
		return printSchema(s, *schema)
	}
	where.place = flags.Arg(0)
	found, err := where.read(ctx)
	for _, item := range found.Items {
		printValid(s, item.File, item.HotPatch)
	}
	for _, suspension := range found.Suspensions {
		printSuspends(s, suspension.File, suspension.Suspension)
	}
	if len(found.Items)+len(found.Suspensions) == 0 && err == nil {
		printNothingFound(s, where.place)
	}
	return err
}

// wish is where to read what is asked for: a path, or a branch of a URL.
type wish struct {
	place, branch, path string
	auth                *gitsource.Auth
}

func wishFlags(flags *pflag.FlagSet) *wish {
	w := &wish{auth: authFlags(flags)}
	flags.StringVar(&w.branch, "branch", "main", "")
	flags.StringVar(&w.path, "path", ".", "")
	return w
}

// read returns what is valid, and as an error all that is not.
func (w *wish) read(ctx context.Context) (render.Result, error) {
	if w.place == "" {
		w.place = "."
	}
	if gitsource.IsURL(w.place) {
		return w.readURL(ctx)
	}
	info, err := os.Stat(w.place)
	if err != nil {
		return render.Result{}, err
	}
	if !info.IsDir() {
		return readFile(w.place)
	}
	source, below, err := openFolder(w.place)
	if err != nil {
		return render.Result{}, err
	}
	return rendered(render.Render(ctx, source, below))
}

func rendered(result render.Result) (render.Result, error) {
	if err := errors.Join(result.Errors...); err != nil {
		return result, invalid{err}
	}
	return result, nil
}
