package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// ConfigMap names one.
type ConfigMap struct{ Namespace, Name string }

// String is "namespace/name".
func (m ConfigMap) String() string { return m.Namespace + "/" + m.Name }

func (m ConfigMap) collection() string {
	return fmt.Sprintf("/api/v1/namespaces/%s/configmaps", url.PathEscape(m.Namespace))
}

func (m ConfigMap) path() string { return m.collection() + "/" + url.PathEscape(m.Name) }

// Key reads one key of a ConfigMap; "" if there is none, or no ConfigMap.
func (c *Client) Key(ctx context.Context, m ConfigMap, key string) (string, error) {
	var object struct{ Data map[string]string }
	err := c.do(ctx, call{method: http.MethodGet, path: m.path()}, &object)
	if err != nil && !is(err, http.StatusNotFound) {
		return "", fmt.Errorf("read ConfigMap %s: %w", m, err)
	}
	return object.Data[key], nil
}

// SetKey writes one key of a ConfigMap, leaving all others alone, and makes the
// ConfigMap if there is none.
func (c *Client) SetKey(ctx context.Context, m ConfigMap, key, value string) error {
	data := map[string]any{"data": map[string]string{key: value}}
	err := c.patch(ctx, m, data)
	if is(err, http.StatusNotFound) {
		err = c.create(ctx, m, data)
		if is(err, http.StatusConflict) { // another sidecar was faster
			err = c.patch(ctx, m, data)
		}
	}
	if err != nil {
		return fmt.Errorf("write key %s of ConfigMap %s: %w", key, m, err)
	}
	return nil
}

func (c *Client) patch(ctx context.Context, m ConfigMap, data map[string]any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return c.do(ctx, call{http.MethodPatch, m.path(), mergePatch, body}, nil)
}

func (c *Client) create(ctx context.Context, m ConfigMap, data map[string]any) error {
	object := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]string{"name": m.Name},
		"data":     data["data"],
	}
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	return c.do(ctx, call{http.MethodPost, m.collection(), plainJSON, body}, nil)
}
