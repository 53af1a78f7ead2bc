package reconciler

import (
	"bytes"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"hotpatch.dev/hotpatch/api"
)

// files serves the repository's own files to sidecars, by digest, and to nobody
// else. Only what some HotPatch refers to now can be had: the repository itself
// stays private.
type files struct {
	base    string // "http://10.0.0.7:8080", how pods reach this process
	callers *callers

	mu      sync.RWMutex
	content map[string][]byte // by SHA-256 in hex
}

// publish replaces what is served; content is not changed any more.
func (f *files) publish(content map[string][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.content = content
}

// get is what is served now.
func (f *files) get() map[string][]byte {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.content
}

// url is where a file of the repository can be had.
func (f *files) url(digest, name string) string {
	return f.base + "/files/sha256/" + digest + "/" + url.PathEscape(path.Base(name))
}

// forCall is a file as a sidecar is to fetch it now: of the repository, with a
// ticket. Tickets pass, so that no annotation holds one.
func (f *files) forCall(file api.DesiredFile) api.DesiredFile {
	if strings.HasPrefix(file.URL, f.base+"/files/") {
		file.URL += "?" + f.callers.ticket(file.SHA256, time.Now())
	}
	return file
}

// ServeHTTP answers GET /files/sha256/{digest}/{name}. The name is for people
// and for sidecars that name a file after its URL.
func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	digest := r.PathValue("digest")
	content, served := f.get()[digest]
	if !f.callers.admit(w, r, digest, served) {
		return
	}
	if !served {
		http.Error(w, "no HotPatch refers to a file with this digest", http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", `"`+digest+`"`)
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
