package api

import _ "embed"

//go:embed schema.json
var schema []byte

//go:embed suspension.schema.json
var suspensionSchema []byte

// Schema is the JSON schema of a kind that people write, for editors and other
// tools; nil if there is no such kind. It is generated from the types: go test ./api
// -update.
func Schema(kind string) []byte {
	switch kind {
	case KindHotPatch:
		return schema
	case KindSuspension:
		return suspensionSchema
	}
	return nil
}
