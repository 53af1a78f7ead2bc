package gitsource

import (
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/object"
)

// Person is in whose name a commit is made; as text "Name <mail>".
type Person struct{ Name, Email string }

// MarshalText writes nothing for nobody.
func (p Person) MarshalText() ([]byte, error) {
	if p == (Person{}) {
		return nil, nil
	}
	return fmt.Appendf(nil, "%s <%s>", p.Name, p.Email), nil
}

// UnmarshalText reads what Git can hold.
func (p *Person) UnmarshalText(text []byte) error {
	address, err := mail.ParseAddress(string(text))
	if err != nil || address.Name == "" || strings.ContainsAny(address.Name+address.Address, "<>\n\x00") {
		return fmt.Errorf(`want "Name <mail>", got %q`, text)
	}
	*p = Person{address.Name, address.Address}
	return nil
}

func (p Person) at(now time.Time) object.Signature {
	return object.Signature{Name: p.Name, Email: p.Email, When: now}
}
