// Package wording puts texts together by templates: words that stand as they are, and
// between {{ and }} expressions in the Common Expression Language, which give others.
//
// It promises that what does not compile, or names what there is not, is found when a
// template is read, and that no template takes long or says much, whatever it is given.
package wording

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// Limits of one text.
const (
	MaxText    = 64 << 10 // bytes
	maxTime    = time.Second
	maxCost    = 1_000_000 // of an expression, as CEL reckons
	checkEvery = 1000      // steps of a loop
)

// Template is a text with expressions in it.
type Template struct{ parts []part }

// part is some words, and what follows them; the last one has words alone.
type part struct {
	words, expression string
	program           cel.Program
}

// Parse reads a template whose expressions may name so many things. Its error says in
// which line what is wrong.
func Parse(text string, names ...string) (*Template, error) {
	options := append(texts(), cel.OptionalTypes(), cel.CrossTypeNumericComparisons(true))
	for _, name := range names {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, err
	}
	t := &Template{}
	for line, rest := 1, text; ; {
		words, after, more := strings.Cut(rest, "{{")
		line += strings.Count(words, "\n")
		if !more {
			t.parts = append(t.parts, part{words: words})
			return t, nil
		}
		expression, after, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, fmt.Errorf("line %d: {{ without }}", line)
		}
		program, err := compile(env, expression, line)
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part{words, strings.TrimSpace(expression), program})
		line, rest = line+strings.Count(expression, "\n"), after
	}
}

// compile an expression that begins in such a line.
func compile(env *cel.Env, expression string, line int) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if wrong := issues.Errors(); len(wrong) > 0 {
		words := strings.TrimSuffix(wrong[0].Message, " (in container '')") // which says nothing here
		at := wrong[0].Location
		lines := strings.Split(expression, "\n")
		return nil, fmt.Errorf("line %d: %s, at character %d of %q", line+at.Line()-1, words, at.Column()+1, lines[min(max(at.Line(), 1), len(lines))-1])
	}
	return env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(checkEvery))
}

// Say is the text, of what the names stand for: values as encoding/json reads them into
// an any. An error names the expression that cannot be told.
func (t *Template) Say(ctx context.Context, of map[string]any) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	var said strings.Builder
	for _, p := range t.parts {
		said.WriteString(p.words)
		if p.program != nil {
			words, err := p.say(ctx, of)
			if err != nil {
				return "", fmt.Errorf("{{%s}}: %w", p.expression, err)
			}
			said.WriteString(words)
		}
		if said.Len() > MaxText {
			return "", fmt.Errorf("it says more than %d bytes", MaxText)
		}
	}
	return said.String(), nil
}

func (p part) say(ctx context.Context, of map[string]any) (string, error) {
	value, _, err := p.program.ContextEval(ctx, of)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("it takes longer than %s", maxTime)
	case err != nil && strings.HasPrefix(err.Error(), "operation cancelled"):
		return "", errors.New("it does too much: something goes over too many things")
	case err != nil:
		return "", err
	}
	return asText(value)
}

// asText is what stands for itself: a list, say, is put into words by its template.
func asText(value ref.Val) (string, error) {
	switch value.Type() {
	case types.StringType, types.IntType, types.UintType, types.DoubleType, types.BoolType, types.TimestampType, types.DurationType:
		text, ok := value.ConvertToType(types.StringType).Value().(string)
		if !ok {
			return "", fmt.Errorf("a %s cannot be put into words", value.Type().TypeName())
		}
		return text, nil
	}
	return "", fmt.Errorf("it gives a %s; want a text", value.Type().TypeName())
}
