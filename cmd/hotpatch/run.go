package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

// Streams are where a command writes, and the name it was called by.
type Streams struct {
	Out, Err io.Writer
	Program  string
}

// The exit codes, as the usage page tells them.
const (
	exitOK      = 0
	exitFailed  = 1 // misuse, or something could not be reached
	exitChanges = 2 // plan: something would change
	exitInvalid = 3 // what the repository asks for is not valid
	exitTrouble = 4 // watch: it ended, and not well
)

// commands by name.
var commands = map[string]func(context.Context, Streams, []string) error{
	"validate": validate,
	"plan":     showPlan,
	"status":   status,
	"watch":    watch,
	"history":  history,
	"set":      set,
	"promote":  promote,
	"suspend":  suspend,
	"resume":   resume,
	"rollback": rollback,
	"sync":     syncNow,
	"version":  version,

	"status-branch": statusBranch,
}

// Run does what args ask for. What it returns is for exitCode.
func Run(ctx context.Context, s Streams, args []string) error {
	if len(args) == 0 {
		return help(s, nil)
	}
	switch args[0] {
	case "help", "-h", "--help":
		return help(s, args[1:])
	}
	command, ok := commands[args[0]]
	if !ok {
		return unknownCommand(args[0])
	}
	return command(ctx, s, args[1:])
}

func help(s Streams, topic []string) error {
	name := ""
	if len(topic) > 0 {
		name = topic[0]
	}
	page, ok := pages[name]
	if !ok {
		return unknownCommand(name)
	}
	printPage(s, page)
	return nil
}

// parse reads a command's flags and checks the number of its arguments. It
// returns errHelp when the page was asked for, and printed.
func parse(s Streams, flags *pflag.FlagSet, args []string, most int) error {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		printPage(s, pages[flags.Name()])
		return errHelp
	case err != nil:
		return misuse{err.Error(), flags.Name()}
	case flags.NArg() > most:
		return misuse{fmt.Sprintf("unexpected argument %q", flags.Arg(most)), flags.Name()}
	}
	return nil
}

// errHelp ends a command whose page was shown.
var errHelp = errors.New("help was shown")

// errChanges ends a plan that found something to do.
var errChanges = errors.New("there are changes")

// errRefused ends a review that has told what would be refused.
var errRefused = errors.New("something would be refused")

// errTrouble ends a watch of something that did not go well.
var errTrouble = errors.New("it did not go well")

// invalid is what a repository asks for and must not.
type invalid struct{ error }

// misuse is a call that makes no sense; Page tells how to call.
type misuse struct{ What, Page string }

func (m misuse) Error() string { return m.What }

// exitCode tells people what went wrong, and their scripts by a number.
func exitCode(s Streams, err error) int {
	var wrong misuse
	switch {
	case err == nil, errors.Is(err, errHelp):
		return exitOK
	case errors.Is(err, errChanges):
		return exitChanges
	case errors.Is(err, errTrouble):
		return exitTrouble
	case errors.Is(err, errRefused):
		return exitInvalid
	case errors.As(err, &invalid{}):
		printInvalid(s, err)
		return exitInvalid
	case errors.As(err, &wrong):
		printMisuse(s, wrong)
	default:
		printError(s, err)
	}
	return exitFailed
}
