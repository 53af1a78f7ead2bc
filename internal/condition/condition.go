// Package condition judges what was measured by expressions that people write in
// Git, in the Common Expression Language: "result.errors < 5".
//
// It promises that a mistake is found before anything is measured (what does not
// compile, names something else than result, or is neither true nor false), and
// that no expression takes long, whatever it is given.
package condition

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/cel-go/cel"

	"hotpatch.dev/hotpatch/api"
)

// Limits of one judgement.
const (
	maxCost    = 1_000_000
	maxTime    = time.Second
	checkEvery = 1000 // steps of a loop
)

// Condition is a compiled expression.
type Condition struct {
	text    string
	program cel.Program
}

// Compile reads an expression. Its error says what is wrong with it.
func Compile(text string) (*Condition, error) {
	env, err := cel.NewEnv(cel.Variable("result", cel.DynType), cel.CrossTypeNumericComparisons(true))
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(text)
	if wrong := issues.Errors(); len(wrong) > 0 {
		words := strings.TrimSuffix(wrong[0].Message, " (in container '')") // which says nothing here
		return nil, fmt.Errorf("%s, at character %d of %q", words, wrong[0].Location.Column()+1, text)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, fmt.Errorf("want a condition that is true or false, %q gives a %s", text, t)
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(checkEvery))
	if err != nil {
		return nil, err
	}
	return &Condition{text, program}, nil
}

// String is the expression, in one line.
func (c *Condition) String() string { return strings.Join(strings.Fields(c.text), " ") }

var errNeither = errors.New("it is neither true nor false")

// Holds tells whether the condition is true of a result, as encoding/json reads it
// into an any. An error says that it cannot be told: a field is missing, say.
func (c *Condition) Holds(ctx context.Context, result any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	out, _, err := c.program.ContextEval(ctx, map[string]any{"result": result})
	if err != nil {
		return false, fmt.Errorf("%s: %s", c, c.words(err))
	}
	holds, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("%s: %w", c, errNeither)
	}
	return holds, nil
}

// words say why a condition cannot be told, with nothing of the result: whoever may
// write conditions need not be one who may read what is measured.
func (c *Condition) words(err error) string {
	what, which, _ := strings.Cut(err.Error(), ": ")
	switch what {
	case "no such key":
		if strings.Contains(c.text, which) {
			return what + ": " + which
		}
		return what
	case "no such overload", "index out of bounds":
		return what
	case "operation cancelled", "operation interrupted":
		return "it takes too long"
	}
	return "it cannot be told of such a result"
}

// Check compiles all conditions of a HotPatch. Its errors name file, object and
// field, as those of api.Decode, whose work it goes on with: api is read by
// programs that have no use for a compiler.
func Check(file string, h api.HotPatch) error {
	var errs []error
	check := func(field string, a api.Analysis) {
		for _, c := range [][2]string{{"success", a.Success}, {"failure", a.Failure}} {
			if c[1] == "" {
				continue
			}
			if _, err := Compile(c[1]); err != nil {
				errs = append(errs, &api.Error{File: file, Object: api.KindHotPatch + " " + h.Key(), Field: field + "." + c[0], Reason: err.Error()})
			}
		}
	}
	for i, a := range h.Spec.Rollout.Analysis {
		check(fmt.Sprintf("spec.rollout.analysis[%d]", i), a)
	}
	for i, step := range h.Spec.Rollout.Steps {
		if step.Analysis != nil {
			check(fmt.Sprintf("spec.rollout.steps[%d].analysis", i), *step.Analysis)
		}
	}
	return errors.Join(errs...)
}
