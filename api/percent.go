package api

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// IntOrPercent is a number of pods, or a share of them such as "25%".
// The zero value is "not set".
type IntOrPercent struct {
	Value   int
	Percent bool
	Set     bool
}

// Count is the value n, set.
func Count(n int) IntOrPercent { return IntOrPercent{Value: n, Set: true} }

// Percent is the share n%, set.
func Percent(n int) IntOrPercent { return IntOrPercent{Value: n, Percent: true, Set: true} }

// IsZero lets an unset value be left out of JSON and YAML.
func (v IntOrPercent) IsZero() bool { return !v.Set }

// String is how people write the value: 3 or 25%.
func (v IntOrPercent) String() string {
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

// MarshalJSON writes a number, or a string with a percent sign.
func (v IntOrPercent) MarshalJSON() ([]byte, error) {
	if v.Percent {
		return json.Marshal(v.String())
	}
	return json.Marshal(v.Value)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *IntOrPercent) UnmarshalJSON(b []byte) error {
	var n int
	if json.Unmarshal(b, &n) == nil {
		*v = Count(n)
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("want a number or a percentage such as \"25%%\", got %s", b)
	}
	digits, ok := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || !ok {
		return fmt.Errorf("want a number or a percentage such as \"25%%\", got %q", s)
	}
	*v = Percent(n)
	return nil
}
