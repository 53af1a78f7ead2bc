package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/test/stage"
)

// chapter opens a part of the story.
func chapter(title string) { fmt.Printf("\n%s\n", bold("── "+title+" ──")) }

// typed shows what a person would type.
func typed(format string, args ...any) { fmt.Println(bold("$ " + fmt.Sprintf(format, args...))) }

// holds notes a claim that was checked.
func (d *demo) holds(format string, args ...any) {
	d.checked++
	fmt.Printf("%s %s\n", green("✓"), fmt.Sprintf(format, args...))
}

// lookAround says what there is to see once the story is told.
func lookAround(s *stage.Stage) {
	fmt.Printf(`
All of it is still up. To look around:
  export KUBECONFIG=%s PATH=%s:%s:$PATH
  kubectl get pods -A -L %s
  kubectl -n %s logs -f deployment/hotpatch-reconciler
  git clone %s && cd games     # edit, commit, push, and watch:
  hotpatch status -o wide
  make demo-down               # ends it all
`, s.Kubeconfig(), filepath.Join(s.Root, "bin"), filepath.Join(s.Root, ".cluster/bin"), api.RevisionLabel, stage.System, stage.RepoURL)
}

// kubectl shows a command and what it prints.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	typed("kubectl %s", strings.Join(args, " "))
	out, err := d.Kubectl(ctx, args...)
	fmt.Print(indent(out))
	return err
}

// status shows `hotpatch status`, with further arguments.
func (d *demo) status(ctx context.Context, args ...string) error {
	typed("%s", strings.Join(append([]string{"hotpatch status"}, args...), " "))
	out, err := d.Hotpatch(ctx, append([]string{"status", "--repo", stage.RepoURL}, args...)...)
	fmt.Print(indent(out))
	return err
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

// style is for terminals alone.
func style(code, text string) string {
	info, err := os.Stdout.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func bold(text string) string  { return style("1", text) }
func green(text string) string { return style("32", text) }
func red(text string) string   { return style("31", text) }
