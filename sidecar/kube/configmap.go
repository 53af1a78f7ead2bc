package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// ConfigMap names one.
type ConfigMap struct{ Namespace, Name string }

// String is "namespace/name".
func (m ConfigMap) String() string { return m.Namespace + "/" + m.Name }

func (m ConfigMap) collection() string {
	return fmt.Sprintf("/api/v1/namespaces/%s/configmaps", url.PathEscape(m.Namespace))
}

func (m ConfigMap) path() string { return m.collection() + "/" + url.PathEscape(m.Name) }

// Keys reads a ConfigMap; nil if there is none.
func (c *Client) Keys(ctx context.Context, m ConfigMap) (map[string]string, error) {
	var object struct{ Data map[string]string }
	err := c.do(ctx, call{method: http.MethodGet, path: m.path()}, &object)
	if err != nil && !NotFound(err) {
		return nil, fmt.Errorf("read ConfigMap %s: %w", m, err)
	}
	return object.Data, nil
}

// SetKeys writes keys of a ConfigMap, and removes those that are nil, leaving
// all others alone. It makes the ConfigMap if there is none.
func (c *Client) SetKeys(ctx context.Context, m ConfigMap, keys map[string]*string) error {
	body, err := json.Marshal(map[string]any{"data": keys})
	if err != nil {
		return err
	}
	patch := call{method: http.MethodPatch, path: m.path(), contentType: mergePatch, body: body}
	err = c.do(ctx, patch, nil)
	if NotFound(err) {
		err = c.create(ctx, m)
		if err == nil || is(err, http.StatusConflict) { // another sidecar was faster
			err = c.do(ctx, patch, nil)
		}
	}
	if err != nil {
		return fmt.Errorf("write %s of ConfigMap %s: %w", strings.Join(slices.Sorted(maps.Keys(keys)), ", "), m, err)
	}
	return nil
}

// create makes an empty ConfigMap.
func (c *Client) create(ctx context.Context, m ConfigMap) error {
	object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": m.Name}}
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return c.do(ctx, call{method: http.MethodPost, path: m.collection(), contentType: plainJSON, body: body}, nil)
}
