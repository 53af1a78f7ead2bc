package main

import (
	"encoding/json"
	"time"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/gitsource"
)

// event is one commit of the status branch, as far as one HotPatch goes. Status is nil
// where it was taken out, or spoilt by hand.
type event struct {
	Time    time.Time           `json:"time"`
	Commit  string              `json:"commit"`
	Subject string              `json:"subject"`
	Status  *api.HotPatchStatus `json:"status,omitempty"`
}

// showEvents is a history for programs, the newest first.
func showEvents(s Streams, past []*gitsource.Snapshot, file string) error {
	events := []event{}
	for _, p := range past {
		e := event{Time: p.Time.UTC(), Commit: p.Commit, Subject: p.Subject}
		if was, err := statusIn(p, file); err == nil {
			e.Status = &was
		}
		events = append(events, e)
	}
	out := json.NewEncoder(s.Out)
	out.SetIndent("", "  ")
	return out.Encode(events)
}
