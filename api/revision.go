package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Revision names what a HotPatch asks of its pods: the same containers and
// files give the same ten hex digits, wherever the files are served from.
func Revision(containers []DesiredContainer, files []DesiredFile) string {
	content := struct {
		Containers []DesiredContainer
		Files      []DesiredFile
	}{containers, withoutURLs(files)}
	b, _ := json.Marshal(content) // plain structs of strings: cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:5])
}

// Digest names what Git says of a HotPatch, whether it is suspended left aside:
// who suspends a rollback and lets it go again has not asked for anything else.
// Fields that may be left out must not be filled in by Default: that would lift
// the verdicts of all clusters that are upgraded.
func (s Spec) Digest() string {
	s.Suspend = false
	b, _ := json.Marshal(s) // plain structs, lists of windows: cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:5])
}

func withoutURLs(files []DesiredFile) []DesiredFile {
	out := make([]DesiredFile, len(files))
	for i, f := range files {
		f.URL = ""
		out[i] = f
	}
	return out
}
