package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Decode reads one HotPatch from YAML or JSON, fills in defaults and validates
// it. File is only named in errors, each of which is an *Error.
func Decode(file string, doc []byte) (HotPatch, error) {
	var h HotPatch
	object := func() string { return describe(h.Kind, h.Metadata) }
	if err := decodeStrict(file, doc, &h, object); err != nil {
		return h, err
	}
	h.Default()
	return h, h.Validate(file)
}

// DecodeStatus reads a HotPatchStatus as EncodeStatus writes it.
func DecodeStatus(file string, doc []byte) (HotPatchStatus, error) {
	var s HotPatchStatus
	err := decodeStrict(file, doc, &s, func() string { return describe(s.Kind, s.Metadata) })
	if err == nil && (s.APIVersion != APIVersion || s.Kind != KindHotPatchStatus) {
		err = &Error{File: file, Object: describe(s.Kind, s.Metadata), Field: "kind", Reason: "want " + APIVersion + " " + KindHotPatchStatus}
	}
	return s, err
}

// EncodeStatus writes a status; the same status always gives the same bytes.
func EncodeStatus(s HotPatchStatus) ([]byte, error) {
	s.APIVersion, s.Kind = APIVersion, KindHotPatchStatus
	return yaml.Marshal(s)
}

// decodeStrict reads YAML into out, refusing unknown and repeated fields. The
// lenient part is read first, so that errors can name the object.
func decodeStrict(file string, doc []byte, out any, object func() string) error {
	asJSON, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return &Error{File: file, Reason: yamlReason(err)}
	}
	strict, err := strictjson.UnmarshalStrict(asJSON, out)
	if err != nil {
		return typeError(file, object(), err)
	}
	var errs []error
	for _, e := range strict {
		errs = append(errs, strictError(file, object(), e))
	}
	return errors.Join(errs...)
}

// yamlReason is a YAML error on one line: what is not YAML, or stands there
// twice.
func yamlReason(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n")
	return strings.ReplaceAll(strings.TrimSpace(text), "\n  ", "; ")
}

// typeError names the field that holds a value of another type.
func typeError(file, object string, err error) *Error {
	e := &Error{File: file, Object: object, Reason: err.Error()}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		e.Field, e.Reason = wrong.Field, fmt.Sprintf("want %s, got %s", inWords(wrong.Type), wrong.Value)
	}
	return e
}

// inWords names a type as people who write YAML do.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "fields"
	case reflect.Int:
		return "a number"
	case reflect.Bool:
		return "true or false"
	}
	return "a " + t.Kind().String()
}

// strictError turns `unknown field "spec.rolout"` into an Error with its field.
func strictError(file, object string, err error) *Error {
	e := &Error{File: file, Object: object, Reason: err.Error()}
	if before, field, ok := strings.Cut(err.Error(), ` "`); ok {
		e.Field, e.Reason = strings.TrimSuffix(field, `"`), before+"; see the JSON schema for what may stand here"
	}
	return e
}

func describe(kind string, m Metadata) string {
	if m.Name == "" {
		return kind
	}
	if m.Namespace == "" {
		return fmt.Sprintf("%s %s", kind, m.Name)
	}
	return fmt.Sprintf("%s %s/%s", kind, m.Namespace, m.Name)
}
