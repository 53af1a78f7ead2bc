package tokens

import (
	"testing"
	"time"
)

func TestForgetsTokens(t *testing.T) {
	now := time.Now()
	m := Remember(nil)
	key := func(i int) [32]byte { return [32]byte{byte(i), byte(i >> 8)} }
	for i := range 10 * maxTokens {
		m.keep(key(i), known{"u", now.Add(time.Second)})
	}
	if len(m.known) > maxTokens {
		t.Errorf("%d tokens are known", len(m.known))
	}
	last := key(10*maxTokens - 1)
	if m.recall(last, now) != "u" || m.recall(last, now.Add(2*time.Second)) != "" {
		t.Error("a token is remembered for the wrong time")
	}
}
