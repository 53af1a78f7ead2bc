package sidecar

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// keysOf are the keys that a config may have, dotted, those of the existing sidecar
// that mean nothing left out.
func keysOf(t reflect.Type, at string) (keys []string) {
	switch t.Kind() {
	case reflect.Pointer:
		return keysOf(t.Elem(), at)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return keysOf(t.Elem(), at+"[]")
		}
	case reflect.Struct:
		for field := range t.Fields() {
			name := field.Tag.Get("json")
			if field.Type.Kind() != reflect.Interface || name == "port" {
				keys = append(keys, keysOf(field.Type, strings.TrimPrefix(at+"."+name, "."))...)
			}
		}
		return keys
	}
	return []string{at}
}

// Every key of the config stands in its reference, and none that there is not.
func TestEveryKeyIsInTheReference(t *testing.T) {
	page, err := os.ReadFile("../docs/sidecar.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Config\n")
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]bool{}
	for line := range strings.Lines(section) {
		cells := strings.SplitN(line, "|", 3)
		if len(cells) < 3 || !strings.Contains(cells[1], "`") {
			continue
		}
		group := ""
		for i, quoted := range strings.Split(cells[1], "`") {
			key := strings.Replace(quoted, ".config.", "plugins[].config.", 1)
			switch {
			case i%2 == 0:
				continue
			case strings.HasPrefix(quoted, ".") && !strings.HasPrefix(quoted, ".config."):
				key = group + quoted
			}
			group = key[:max(0, strings.LastIndex(key, "."))]
			told[key] = true
		}
	}
	for _, key := range keysOf(reflect.TypeFor[Config](), "") {
		if !told[key] {
			t.Errorf("%s is not in docs/sidecar.md", key)
		}
		delete(told, key)
	}
	for key := range told {
		t.Errorf("docs/sidecar.md tells of %s, which there is not", key)
	}
}
