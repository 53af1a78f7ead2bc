package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"hotpatch.dev/hotpatch/api"
	"hotpatch.dev/hotpatch/internal/wording"
)

// Limits of a template, and of what it may say: forges show some hundred bytes of a
// subject.
const (
	maxTemplate        = 64 << 10
	maxTemplateSubject = 200
)

// Message is what a template for the messages of commits has to say: what the message
// without one has.
type Message struct {
	Cluster string `json:"cluster"`
	// Subject and Body are the message without a template.
	Subject string `json:"subject"`
	Body    string `json:"body"`
	// Changes are what is new, in the order of their names, removed ones last.
	Changes []News `json:"changes"`
}

// News is what is new of one HotPatch.
type News struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Words are its line: "game: 5 of 8 on v2 (partition 3)".
	Words string `json:"words"`
	// Removed: Git asks for it no more; Status is the last one.
	Removed bool               `json:"removed"`
	Status  api.HotPatchStatus `json:"status"`
}

// messageTemplate words commits; nil: they keep the built-in words. Trailers are not
// its to word.
type messageTemplate struct{ template *wording.Template }

// readTemplate reads a template, and has it word commits such as there are: what fails
// then would fail on some night. "" is none.
func readTemplate(ctx context.Context, file string) (*messageTemplate, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--message-template-file: %w", err)
	}
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("--message-template-file: %s has more than %d bytes", file, maxTemplate)
	}
	parsed, err := wording.Parse(string(text), "cluster", "subject", "body", "changes")
	if err != nil {
		return nil, fmt.Errorf("--message-template-file: %s, %w", file, err)
	}
	m := &messageTemplate{parsed}
	for _, sample := range samples() {
		if _, _, err := m.words(ctx, sample); err != nil {
			return nil, fmt.Errorf("--message-template-file: %s, tried on %q: %w", file, sample.Subject, err)
		}
	}
	return m, nil
}

// words are the first line of what the template says, and the rest.
func (m *messageTemplate) words(ctx context.Context, about Message) (subject, body string, err error) {
	fields, err := json.Marshal(about)
	if err != nil {
		return "", "", err
	}
	var named map[string]any
	if err := json.Unmarshal(fields, &named); err != nil {
		return "", "", err
	}
	said, err := m.template.Say(ctx, named)
	if err != nil {
		return "", "", err
	}
	text := strings.TrimSpace(strings.Map(printable, strings.ToValidUTF8(said, "�")))
	subject, body, _ = strings.Cut(text, "\n")
	if subject == "" {
		return "", "", errors.New("it says nothing")
	}
	return shorten(subject, maxTemplateSubject), strings.TrimSpace(body), nil
}

// printable drops what Git and terminals take for something else.
func printable(c rune) rune {
	if unicode.IsControl(c) && c != '\n' && c != '\t' {
		return -1
	}
	return c
}

// samples are commits of each kind: one HotPatch on its way and nothing known from
// before, one at its end with all that a status can have, several, and one removed.
func samples() []Message {
	progress := api.HotPatchStatus{
		APIVersion: api.APIVersion, Kind: api.KindHotPatchStatus, Metadata: api.Metadata{Namespace: "default", Name: "game"}, Cluster: "prod",
		Source: api.Source{Commit: "0cbcbb2f1a0e4d9f8c3b7a6d5e4f3c2b1a098765", Path: "hotpatch/game.yaml"}, Revision: "5f3c09ab12", Phase: api.PhaseProgressing,
		Counts: api.Counts{Desired: 5, Updated: 2, UpdatedReady: 2, Ready: 8, Total: 8},
	}
	failed := progress
	failed.Metadata.Name, failed.Phase, failed.Message, failed.Since = "lobby", api.PhaseDegraded, "no space", time.Unix(1795700000, 0).UTC()
	failed.Images = map[string]string{"main": "registry.example/lobby:v2"}
	failed.Failures = []api.PodRow{{Name: "lobby-0", Node: "n1", State: "Failed", Message: "no space"}}
	failed.Stable, failed.Progress = &api.StableRevision{Revision: "11aa"}, &api.Progress{Step: 1}
	failed.Verdict = &api.Verdict{Do: api.FailurePolicy("Pause"), Reason: "smoke failed"}
	first := News{Namespace: "default", Name: "game", Words: "game: 2 of 5 on v2", Status: progress}
	last := News{Namespace: "default", Name: "lobby", Words: "lobby: no space", Status: failed}
	gone := News{Namespace: "default", Name: "game", Words: removed(progress), Removed: true, Status: progress}
	var all []Message
	for _, changes := range [][]News{{first}, {last}, {gone}, {first, last, gone}} {
		all = append(all, message("prod", changes))
	}
	return all
}

// message is what there is to say without a template, and what for.
func message(cluster string, changes []News) Message {
	var subjects []string
	for _, c := range changes {
		subjects = append(subjects, c.Words)
	}
	m := Message{Cluster: cluster, Changes: changes}
	m.Subject, m.Body = words(subjects)
	return m
}
