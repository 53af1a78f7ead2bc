package condition

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"hotpatch.dev/hotpatch/api"
)

func TestConditionsOverWhatIsMeasured(t *testing.T) {
	for _, c := range []struct {
		result, text string
		holds        bool
		wrong        string // in the error
	}{
		{`0.02`, `result < 0.05`, true, ""},
		{`3`, `result < 5`, true, ""},
		{`5`, `result == 5`, true, ""},
		{`[0.2, 0.01]`, `result.all(rate, rate < 0.05)`, false, ""},
		{`[]`, `result[0] < 0.05`, false, "index out of bounds"},
		{`{"players": 7, "ok": true}`, `result.ok && result.players >= 7`, true, ""},
		{`{"ok": "yes"}`, `result.ok`, false, "neither true nor false"},
		{`{}`, `result.errors == 0`, false, "no such key: errors"},
		{`{}`, `!has(result.errors) || result.errors == 0`, true, ""},
		{`"ok"`, `result.startsWith("o")`, true, ""},
		{`{"exitCode": 0, "stdout": "v2\n"}`, `result.exitCode == 0 && result.stdout.contains("v2")`, true, ""},
		{`{"token": "s3cret"}`, `int(result.token) < 1`, false, "cannot be told of such a result"},
		{`{"token": "s3cret"}`, `result[result.token] < 1`, false, "no such key"},
		{`null`, `result < 1`, false, "no such overload"},
	} {
		var result any
		if err := json.Unmarshal([]byte(c.result), &result); err != nil {
			t.Fatal(err)
		}
		condition, err := Compile(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		holds, err := condition.Holds(t.Context(), result)
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s tells what was measured: %v", c.text, err)
		}
		if holds != c.holds || (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s of %s: %t, %v", c.text, c.result, holds, err)
		}
	}
}

func TestMistakesAreFoundWhenTheyAreCompiled(t *testing.T) {
	for text, want := range map[string]string{
		`result <`:                      "Syntax error",
		`results < 5`:                   "undeclared reference to 'results'",
		`1 + 1`:                         "want a condition that is true or false",
		`"a" < 5`:                       "no matching overload",
		`result.matches("(")`:           "", // known only of a text
		`result.exists(x, x.nope(1))`:   "undeclared reference to 'nope'",
		`size(result) > 0 ? "yes" : ""`: "want a condition",
	} {
		_, err := Compile(text)
		if (err != nil) != (want != "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// No expression takes long, whatever it is given.
func TestConditionIsBounded(t *testing.T) {
	var many []any
	for range 10_000 {
		many = append(many, 1.0)
	}
	c, err := Compile(`result.all(a, result.all(b, result.all(c, a + b + c > 0.0)))`)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if holds, err := c.Holds(context.Background(), many); err == nil || !strings.Contains(err.Error(), "takes too long") || holds || time.Since(began) > 10*time.Second {
		t.Errorf("%t, %v after %s", holds, err, time.Since(began))
	}
}

func TestCheckNamesFileObjectAndField(t *testing.T) {
	h := api.HotPatch{Metadata: api.Metadata{Namespace: "default", Name: "game"}}
	h.Spec.Rollout.Analysis = []api.Analysis{{Success: "result < 1"}, {Success: "resul < 1", Failure: "1"}}
	err := Check("game.yaml", h)
	for _, want := range []string{
		`game.yaml: HotPatch default/game: spec.rollout.analysis[1].success: undeclared reference to 'resul'`,
		`game.yaml: HotPatch default/game: spec.rollout.analysis[1].failure: want a condition that is true or false, "1" gives a int`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}
