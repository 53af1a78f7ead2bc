package gitsource

import (
	"errors"
	"io"
)

var errBadDelta = errors.New("it is not well formed")

// readDelta reads how large an object is that is told as a difference, and how it is
// made of its base (gitformat-pack(5), "Deltified representation").
//
// go-git's PatchDelta makes of a few bytes whatever size they say, all in memory.
func readDelta(base, delta []byte) (size int64, how []byte, err error) {
	from, delta, ok := deltaSize(delta)
	if !ok || from != int64(len(base)) {
		return 0, nil, errBadDelta
	}
	if size, how, ok = deltaSize(delta); !ok {
		return 0, nil, errBadDelta
	}
	return size, how, nil
}

// deltaSize reads a size: seven bits in each byte, the lowest first, and a bit that says
// whether another one follows.
func deltaSize(delta []byte) (size int64, rest []byte, ok bool) {
	for i, b := range delta {
		if i > 7 {
			break // of which no object is
		}
		size |= int64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return size, delta[i+1:], true
		}
	}
	return 0, nil, false
}

// applyDelta writes what a difference makes of its base: each step copies a piece of
// that, or has up to 127 bytes of its own.
func applyDelta(to io.Writer, base, how []byte) error {
	for len(how) > 0 {
		step := how[0]
		how = how[1:]
		var piece []byte
		switch {
		case step >= 0x80:
			var at, size int
			var ok bool
			if at, size, how, ok = deltaCopy(step, how); !ok || at > len(base) || size > len(base)-at {
				return errBadDelta
			}
			piece = base[at : at+size]
		case step == 0 || int(step) > len(how):
			return errBadDelta
		default:
			piece, how = how[:step], how[step:]
		}
		if _, err := to.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// deltaCopy reads where a piece is, in up to four bytes, and how large, in up to three;
// a step's bits say which of them are there, the others are zero.
func deltaCopy(step byte, how []byte) (at, size int, rest []byte, ok bool) {
	for bit := range 7 {
		if step&(1<<bit) == 0 {
			continue
		}
		if len(how) == 0 {
			return 0, 0, nil, false
		}
		if bit < 4 {
			at |= int(how[0]) << (8 * bit)
		} else {
			size |= int(how[0]) << (8 * (bit - 4))
		}
		how = how[1:]
	}
	if size == 0 {
		size = 0x10000
	}
	return at, size, how, true
}
