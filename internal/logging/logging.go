// Package logging carries a logrus entry with its fields in a context, so that
// whoever logs says which pod, HotPatch or commit it is about without being
// handed a logger.
package logging

import (
	"context"
	"fmt"
	"io"

	"github.com/sirupsen/logrus"
)

type key struct{}

// timestamp has milliseconds: a whole release takes about a second.
const timestamp = "2006-01-02T15:04:05.000Z07:00"

// New is a logger to w. Format is "text" or "json", level one of logrus's.
func New(w io.Writer, format, level string) (*logrus.Entry, error) {
	l := logrus.New()
	l.SetOutput(w)
	switch format {
	case "text":
		l.SetFormatter(&logrus.TextFormatter{FullTimestamp: true, TimestampFormat: timestamp})
	case "json":
		l.SetFormatter(&logrus.JSONFormatter{TimestampFormat: timestamp})
	default:
		return nil, fmt.Errorf("log format %q: want text or json", format)
	}
	lv, err := logrus.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warning or error", level)
	}
	l.SetLevel(lv)
	return logrus.NewEntry(l), nil
}

// Into returns a context that carries e.
func Into(ctx context.Context, e *logrus.Entry) context.Context {
	return context.WithValue(ctx, key{}, e)
}

// From is the entry carried by ctx, or one that discards everything.
func From(ctx context.Context) *logrus.Entry {
	if e, ok := ctx.Value(key{}).(*logrus.Entry); ok {
		return e
	}
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

// With returns a context whose entry has the further fields, given as
// key, value, key, value.
func With(ctx context.Context, pairs ...any) context.Context {
	fields := logrus.Fields{}
	for i := 0; i+1 < len(pairs); i += 2 {
		fields[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return Into(ctx, From(ctx).WithFields(fields))
}
