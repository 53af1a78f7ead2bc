package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxLine is the longest pkt-line that Git allows, with its length.
const maxLine = 65520

// mark is what a pkt-line is: one with text, or one that separates others. go-git's
// scanner knows no delimiters, which came with version 2.
type mark int

const (
	flush     mark = 0
	delimiter mark = 1
	text      mark = 4
)

// errNoGit says that what answers does not speak Git.
var errNoGit = errors.New("invalid pkt-len: what answers there is not a Git server")

// serverError is what a server says instead of an answer.
type serverError struct{ words string }

func (e *serverError) Error() string { return "the server says: " + e.words }

// readLine reads a pkt-line, without the end of its line.
func readLine(r io.Reader) (mark, []byte, error) {
	var digits [4]byte
	if _, err := io.ReadFull(r, digits[:]); err != nil {
		return 0, nil, cutShort(err)
	}
	length, err := strconv.ParseUint(string(digits[:]), 16, 16)
	switch {
	case err != nil || length > maxLine || length == 3:
		return 0, nil, errNoGit
	case length <= 2:
		return min(mark(length), delimiter), nil, nil // 2 ends an answer, which a flush does as well
	}
	line := make([]byte, length-4)
	if _, err := io.ReadFull(r, line); err != nil {
		return 0, nil, cutShort(err)
	}
	if words, isError := bytes.CutPrefix(line, []byte("ERR ")); isError {
		return 0, nil, &serverError{words: string(words)}
	}
	return text, bytes.TrimSuffix(line, []byte("\n")), nil
}

// cutShort is the end of a stream where there should be more.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// request is one of version 2: a command, and what to say to it.
func request(command string, arguments ...string) []byte {
	var b bytes.Buffer
	line(&b, "command="+command)
	b.WriteString("0001")
	for _, a := range arguments {
		line(&b, a)
	}
	b.WriteString("0000")
	return b.Bytes()
}

func line(b *bytes.Buffer, text string) { fmt.Fprintf(b, "%04x%s\n", len(text)+5, text) }
