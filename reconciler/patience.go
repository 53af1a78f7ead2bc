package reconciler

import (
	"fmt"
	"text/template"
	"text/template/parse"
	"time"
)

// templatePatience is how long a template may take, which is done in a millisecond. It
// leaves time to commit the last results with the message that there is without it.
const templatePatience = time.Second

var errPatience = fmt.Errorf("it takes longer than %s: something ranges over too much, or a template calls itself too often", templatePatience)

// clock is what a template calls, unseen, wherever it may go round.
const clock = "hotpatchClock"

// patient parses a template that can be ended in the midst of it, although nothing
// ends those of text/template from outside: each turn of a range, and each template,
// begins with a look at the clock. In between there are only so many calls as the
// text has, and none of them makes texts that are longer than a message.
func patient(name, text string) (*template.Template, error) {
	parsed, err := template.New(name).Funcs(timed(time.Time{})).Parse(text)
	if err != nil {
		return nil, err
	}
	look, err := template.New(name).Funcs(timed(time.Time{})).Parse("{{" + clock + "}}")
	if err != nil {
		return nil, err
	}
	for _, t := range parsed.Templates() {
		if t.Tree != nil && t.Root != nil {
			lookIn(t.Root, look.Root)
			begin(t.Root, look.Root)
		}
	}
	return parsed, nil
}

// lookIn has all ranges below a list begin with a look.
func lookIn(list, look *parse.ListNode) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		var branch *parse.BranchNode
		switch node := node.(type) {
		case *parse.RangeNode:
			branch = &node.BranchNode
		case *parse.IfNode:
			branch = &node.BranchNode
		case *parse.WithNode:
			branch = &node.BranchNode
		default:
			continue
		}
		lookIn(branch.List, look)
		lookIn(branch.ElseList, look)
		if branch.NodeType == parse.NodeRange {
			begin(branch.List, look)
		}
	}
}

func begin(list, look *parse.ListNode) {
	list.Nodes = append(look.CopyList().Nodes, list.Nodes...)
}

// timed are the functions of a template that has until then. Those that make texts
// take the place of the built-in ones.
func timed(until time.Time) template.FuncMap {
	return template.FuncMap{
		clock: func() (nothing string, err error) {
			if time.Now().After(until) {
				err = errPatience
			}
			return nothing, err
		},
		"print":   short(fmt.Sprint),
		"println": short(fmt.Sprintln),
		"printf": func(format string, args ...any) (string, error) {
			return short(func(args ...any) string { return fmt.Sprintf(format, args...) })(args...)
		},
		"html":     short(template.HTMLEscaper),
		"js":       short(template.JSEscaper),
		"urlquery": short(template.URLQueryEscaper),
	}
}

// short refuses texts that no message can hold.
func short(f func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		text := f(args...)
		if len(text) > maxMessage {
			return "", fmt.Errorf("it makes a text of more than %d bytes", maxMessage)
		}
		return text, nil
	}
}
