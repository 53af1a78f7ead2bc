package plan

import (
	"testing"

	"hotpatch.dev/hotpatch/api"
)

func TestFileIsJudgedByItsContent(t *testing.T) {
	want := Revision{ID: "v2", Files: []api.DesiredFile{{Path: "map.json", Version: "v2", SHA256: "aa"}}}
	for name, c := range map[string]struct {
		is api.ObservedFile
		on bool
	}{
		"as asked":            {api.ObservedFile{Path: "map.json", Version: "v2", SHA256: "aa", State: api.FileUpdated}, true},
		"other content":       {api.ObservedFile{Path: "map.json", Version: "v2", SHA256: "bb", State: api.FileUpdated}, false},
		"other version":       {api.ObservedFile{Path: "map.json", Version: "v1", SHA256: "aa", State: api.FileUpdated}, false},
		"other file":          {api.ObservedFile{Path: "npcs.json", Version: "v2", SHA256: "aa", State: api.FileUpdated}, false},
		"there, not reloaded": {api.ObservedFile{Path: "map.json", Version: "v2", SHA256: "aa", State: api.FileFailed}, false},
	} {
		pod := Pod{Files: api.ObservedFiles{Files: []api.ObservedFile{c.is}}}
		if pod.on(want) != c.on {
			t.Errorf("%s: on the revision is %v, want %v", name, !c.on, c.on)
		}
	}
}
