package api

import _ "embed"

//go:embed schema.json
var schema []byte

// Schema is the JSON schema of a HotPatch, for editors and other tools. It is
// generated from the types: go test ./api -update.
func Schema() []byte { return schema }
