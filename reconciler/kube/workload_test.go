package kube

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPodSelectorReadsWhatWorkloadsSay(t *testing.T) {
	for name, c := range map[string]struct{ object, want, wantErr string }{
		"labels":        {object: "spec: {selector: {matchLabels: {app: game, tier: front}}}", want: "app=game,tier=front"},
		"expressions":   {object: "spec: {selector: {matchExpressions: [{key: app, operator: In, values: [a, b]}]}}", want: "app in (a,b)"},
		"bare labels":   {object: "spec: {selector: {app: game}}", want: "app=game"},
		"none":          {object: "spec: {replicas: 2}", wantErr: "no spec.selector"},
		"empty":         {object: "spec: {selector: {}}", wantErr: "no spec.selector"},
		"a string":      {object: "spec: {selector: app=game}", wantErr: "no spec.selector"},
		"bad operator":  {object: "spec: {selector: {matchExpressions: [{key: app, operator: Near}]}}", wantErr: "spec.selector"},
		"bare, not map": {object: "spec: {selector: {app: [game]}}", wantErr: "spec.selector"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := podSelector(object(t, c.object))
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("got %q, %v, want an error with %q", got, err, c.wantErr)
				}
				return
			}
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestScaleNamesThePods(t *testing.T) {
	got, err := scaleSelector(object(t, "status: {selector: app=game}"))
	if err != nil || got != "app=game" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := scaleSelector(object(t, "{metadata: {name: game}, status: {replicas: 2}}")); err == nil {
		t.Fatal("a scale without a selector would mean every pod of the namespace")
	}
}
