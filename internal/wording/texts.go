package wording

import (
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// texts are two of the string functions that CEL's Go library has as an extension, by
// the same names: all of them would let a short template make texts without end, which
// no cost counts before they are there.
func texts() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function("join", cel.MemberOverload("list_join_text",
			[]*cel.Type{cel.ListType(cel.StringType), cel.StringType}, cel.StringType, cel.BinaryBinding(join))),
		cel.Function("substring", cel.MemberOverload("text_substring",
			[]*cel.Type{cel.StringType, cel.IntType, cel.IntType}, cel.StringType, cel.FunctionBinding(substring))),
	}
}

func join(list, separator ref.Val) ref.Val {
	var all strings.Builder
	for each, between := list.(traits.Lister).Iterator(), ""; each.HasNext() == types.True; between = string(separator.(types.String)) {
		text, ok := each.Next().(types.String)
		if !ok {
			return types.NewErr("join: not all of the list are texts")
		}
		if all.Len()+len(between)+len(text) > MaxText {
			return types.NewErr("join: it makes a text of more than %d bytes", MaxText)
		}
		all.WriteString(between + string(text))
	}
	return types.String(all.String())
}

// substring takes what there is: the first twelve characters of eight are eight.
func substring(args ...ref.Val) ref.Val {
	text := []rune(string(args[0].(types.String)))
	from, to := args[1].(types.Int), min(args[2].(types.Int), types.Int(len(text)))
	if from < 0 || from > to {
		return types.NewErr("substring: there are no characters from %d to %d", from, args[2])
	}
	return types.String(text[from:to])
}
