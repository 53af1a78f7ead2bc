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

func withoutURLs(files []DesiredFile) []DesiredFile {
	out := make([]DesiredFile, len(files))
	for i, f := range files {
		f.URL = ""
		out[i] = f
	}
	return out
}
