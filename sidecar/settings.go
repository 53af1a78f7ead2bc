package sidecar

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"hotpatch.dev/hotpatch/internal/guard"
	"hotpatch.dev/hotpatch/sidecar/download"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// hotUpdate is the plugin's config.
func (c Config) hotUpdate() (HotUpdate, error) {
	for _, p := range c.Plugins {
		if p.Name == pluginName {
			return p.Config, nil
		}
	}
	return HotUpdate{}, fmt.Errorf("plugins: none is named %s", pluginName)
}

// dir is the directory of the files.
func (h HotUpdate) dir(otherwise string) string {
	if h.FileDir != "" {
		return h.FileDir
	}
	return otherwise
}

// configMap is where results go for pods of a namespace.
func (k InKube) configMap(namespace string) kube.ConfigMap {
	if k.ConfigMap == "" {
		return kube.ConfigMap{Namespace: seedNamespace, Name: seedConfigMap}
	}
	if ns, name, ok := strings.Cut(k.ConfigMap, "/"); ok {
		return kube.ConfigMap{Namespace: ns, Name: name}
	}
	return kube.ConfigMap{Namespace: namespace, Name: k.ConfigMap}
}

// limits of one download.
func (d Download) limits() (download.Limits, error) {
	limits := download.Limits{Bytes: d.MaxBytes, TokenFile: d.ByDigestTokenFile}
	switch {
	case limits.Bytes < 0:
		return limits, fmt.Errorf("download.maxBytes: want a number of bytes, got %d", d.MaxBytes)
	case limits.Bytes == 0:
		limits.Bytes = defaultMaxBytes
	}
	var err error
	if limits.Timeout, err = duration(d.Timeout, defaultTimeout); err != nil {
		return limits, fmt.Errorf("download.timeout: want a time such as 2m, got %q", d.Timeout)
	}
	if limits.TokenFor, err = d.byDigest(); err != nil {
		return limits, err
	}
	if limits.TokenFor == nil && limits.TokenFile != "" {
		return limits, errors.New("download.byDigestTokenFile: is for download.byDigest, which is not set")
	}
	if limits.URLs, err = d.urls(); err != nil {
		return limits, err
	}
	limits.Allow, err = d.prefixes()
	return limits, err
}

// byDigest is where content can be had by its digest, nil if nowhere.
func (d Download) byDigest() (*url.URL, error) {
	if d.ByDigest == "" {
		return nil, nil
	}
	u, err := parseURL(d.ByDigest)
	if err != nil {
		return nil, fmt.Errorf("download.byDigest: %w", err)
	}
	return u, nil
}

func (d Download) urls() ([]*url.URL, error) {
	var out []*url.URL
	if from, err := d.byDigest(); err == nil && from != nil && len(d.AllowURLs) > 0 {
		out = append(out, from)
	}
	for _, text := range d.AllowURLs {
		u, err := url.Parse(text)
		if err == nil {
			err = guard.CheckURL(u)
		}
		if err != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("download.allowURLs: want a URL such as https://files.example/games/, got %q", text)
		}
		out = append(out, u)
	}
	return out, nil
}

func (d Download) prefixes() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range d.AllowAddresses {
		p, err := guard.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("download.allowAddresses: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

// hold is how long the main container may be kept from starting.
func (r Restore) hold() (time.Duration, error) {
	if r.Hold == "" {
		return defaultHold, nil
	}
	hold, err := time.ParseDuration(r.Hold)
	if err != nil || hold < 0 || hold > maxHold {
		return 0, fmt.Errorf("restore.hold: want 0s to %s, got %q", maxHold, r.Hold)
	}
	return hold, nil
}

func duration(text string, otherwise time.Duration) (time.Duration, error) {
	if text == "" {
		return otherwise, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("want more than nothing, got %s", text)
	}
	return d, err
}
