package wording

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

const about = `{
  "name": "game", "n": 8, "half": 0.5, "ready": true, "none": null,
  "pods": [{"name": "game-0", "on": "v2"}, {"name": "game-1"}]
}`

// say is what becomes of a template.
func say(t *testing.T, text string) (string, error) {
	t.Helper()
	var of map[string]any
	if err := json.Unmarshal([]byte(about), &of); err != nil {
		t.Fatal(err)
	}
	template, err := Parse(text, "name", "n", "half", "ready", "none", "pods")
	if err != nil {
		return "", err
	}
	return template.Say(t.Context(), of)
}

func TestTemplatesAreWordsAndExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		"as it stands":       "as it stands",
		"{{name}}{{name}}\n": "gamegame\n",
		"{{ name }}: {{n}} {{half}} {{ready}} {{size(pods)}} {{timestamp('2026-11-27T08:00:00Z')}}": "game: 8 0.5 true 2 2026-11-27T08:00:00Z",
		"a } b }} c {": "a } b }} c {",
		"{{pods.map(p,\n  '- ' + p.name).join('\\n')}}":          "- game-0\n- game-1",
		"{{pods.map(p, p.?on.orValue('nothing')).join(', ')}}":   "v2, nothing",
		"{{pods.filter(p, has(p.on))[0].name}}":                  "game-0",
		"{{name.substring(1, 3)}} {{name.substring(0, 12)}}":     "am game",
		"{{'日本'.substring(1, 2)}}{{[].join(', ')}}":              "本",
		"{{n > 5 ? 'many' : 'few'}} {{{'a': 'b'}['a']}}":         "many b",
		"{{string(n) + ' pods'}} {{name.startsWith('g')}}":       "8 pods true",
		"{{pods.exists(p, p.name == 'game-1') ? name : 'none'}}": "game",
	} {
		if got, err := say(t, text); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestMistakesAreFoundWhenATemplateIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"one\n{{name":                  "line 2: {{ without }}",
		"{{}}":                         "line 1: Syntax error",
		"one\n\n{{ who }}":             `line 3: undeclared reference to 'who', at character 2 of " who "`,
		"{{name}}\n{{name +\n who}}{{": `line 3: undeclared reference to 'who', at character 2 of " who"`,
		"{{name.nothing()}}":           "undeclared reference to 'nothing'",
		"{{name.replace('', name)}}":   "undeclared reference to 'replace'", // makes much of little
		"{{1 + 'a'}}":                  "no matching overload",
	} {
		if template, err := Parse(text, "name"); template != nil || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestWhatCannotBeToldIsAnError(t *testing.T) {
	for text, want := range map[string]string{
		"{{name}} {{pods[1].on}}":      "{{pods[1].on}}: no such key: on",
		"{{pods[7].name}}":             "index out of bounds: 7",
		"{{pods}}":                     "{{pods}}: it gives a list; want a text",
		"{{none}}":                     "it gives a null_type; want a text",
		"{{name + n}}":                 "no such overload",
		"{{[name, n].join(', ')}}":     "join: not all of the list are texts",
		"{{name.join(', ')}}":          "no such overload",
		"{{name.substring(3, 1)}}":     "substring: there are no characters from 3 to 1",
		"{{name.substring(-1, 1)}}":    "substring: there are no characters from -1 to 1",
		"{{name.substring(9, 12)}}":    "substring: there are no characters from 9 to 12",
		strings.Repeat("x", MaxText+1): "it says more than 65536 bytes",
		"{{[name, name].join('" + strings.Repeat("x", MaxText) + "')}}": "join: it makes a text of more than 65536 bytes",
	} {
		if got, err := say(t, text); got != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %.60q, %v; want %q", text, got, err, want)
		}
	}
}

// No template takes long, or much memory, whatever it does.
func TestTemplatesAreBounded(t *testing.T) {
	loops := func(n int) string {
		many := "[" + strings.Repeat("0,", n) + "0]"
		return "{{string(" + many + ".all(a, " + many + ".all(b, " + many + ".all(c, a + b + c == 0))))}}"
	}
	doubled := "a0" // 40 times over, each in the name of the one before
	for i := range 40 {
		doubled = fmt.Sprintf("[a%d + a%d].map(a%d, %s)[0]", i+1, i+1, i, doubled)
	}
	for name, text := range map[string]string{
		"loops in loops": loops(1000),
		"much in sum":    strings.Repeat(loops(30), 300),
		"a text doubled": "{{['ab'].map(a40, " + doubled + ")[0]}}",
	} {
		t.Run(name, func(t *testing.T) {
			begun := time.Now()
			got, err := say(t, text)
			if err == nil || !strings.Contains(err.Error(), "it does too much") && !strings.Contains(err.Error(), "it takes longer than 1s") {
				t.Errorf("%.100q, %.300v", got, err)
			}
			if took := time.Since(begun); took > 10*maxTime {
				t.Errorf("it took %s", took)
			}
		})
	}
}
