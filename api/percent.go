package api

import (
	"encoding/json"
	"strconv"
	"strings"
)

// IntOrPercent is a number of pods, or a share of them such as "25%".
// The zero value is "not set".
type IntOrPercent struct {
	Value   int
	Percent bool
	Set     bool

	wrong string // what stood there, if it was neither; Validate refuses it
}

// Count is the value n, set.
func Count(n int) IntOrPercent { return IntOrPercent{Value: n, Set: true} }

// Percent is the share n%, set.
func Percent(n int) IntOrPercent { return IntOrPercent{Value: n, Percent: true, Set: true} }

// IsZero lets an unset value be left out of JSON and YAML.
func (v IntOrPercent) IsZero() bool { return !v.Set }

// String is how people write the value: 3 or 25%.
func (v IntOrPercent) String() string {
	if v.wrong != "" {
		return v.wrong
	}
	if v.Percent {
		return strconv.Itoa(v.Value) + "%"
	}
	return strconv.Itoa(v.Value)
}

// Of is the number of pods out of total, a percentage rounded up.
func (v IntOrPercent) Of(total int) int {
	if v.Percent {
		return (total*v.Value + 99) / 100
	}
	return min(v.Value, total)
}

// OfRoundedDown is Of with a percentage rounded down.
func (v IntOrPercent) OfRoundedDown(total int) int {
	if v.Percent {
		return total * v.Value / 100
	}
	return min(v.Value, total)
}

// moves tells whether pods can change at this pace; what is wrong in another
// way is told elsewhere.
func (v IntOrPercent) moves() bool { return v.Value != 0 || v.wrong != "" }

// MarshalJSON writes a number, or a string with a percent sign.
func (v IntOrPercent) MarshalJSON() ([]byte, error) {
	if v.Percent {
		return json.Marshal(v.String())
	}
	return json.Marshal(v.Value)
}

// UnmarshalJSON reads what MarshalJSON writes. It takes in anything else too,
// for Validate to refuse: from here an error could not name the field.
func (v *IntOrPercent) UnmarshalJSON(b []byte) error {
	var n int
	if json.Unmarshal(b, &n) == nil {
		*v = Count(n)
		return nil
	}
	var s string
	_ = json.Unmarshal(b, &s) // stays empty if it is no string
	digits, ok := strings.CutSuffix(s, "%")
	if n, err := strconv.Atoi(digits); ok && err == nil {
		*v = Percent(n)
		return nil
	}
	*v = IntOrPercent{Set: true, wrong: string(b)}
	return nil
}
