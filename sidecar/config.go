package sidecar

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"hotpatch.dev/hotpatch/internal/guard"
	"hotpatch.dev/hotpatch/internal/process"
	"hotpatch.dev/hotpatch/sidecar/download"
	"hotpatch.dev/hotpatch/sidecar/kube"
)

// ConfigFiles are where the config is looked for: where the seed's example
// mounts it, and where the existing sidecar reads it.
var ConfigFiles = []string{"/opt/sidecar/config.yaml", "/opt/kidecar/config.yaml"}

// pluginName is the one plugin of the existing sidecar that this one is.
const pluginName = "hot_update"

// Defaults.
const (
	DefaultDir      = "/app/downloads"
	defaultMaxBytes = 1 << 30
	defaultTimeout  = 2 * time.Minute
	defaultWait     = 5 * time.Second
	seedNamespace   = "kube-system"
	seedConfigMap   = "sidecar-result"
	defaultAudience = "hotpatch-sidecar"
	maxSignalWait   = time.Minute
)

// Config is the config file: the existing sidecar's, whose keys all stand
// below plugins, and our own additions beside them.
type Config struct {
	Plugins []Plugin `json:"plugins"`
	// Auth says who may post; nil: everyone, as with the existing sidecar.
	Auth *Auth `json:"auth"`
	// Download limits what is fetched.
	Download Download `json:"download"`

	// The existing sidecar reads these and makes nothing of them.
	RestartPolicy     any `json:"restartpolicy"`
	Resources         any `json:"resources"`
	SidecarStartOrder any `json:"sidecarstartorder"`
}

// Plugin is one entry of plugins; only hot_update is offered.
type Plugin struct {
	Name      string    `json:"name"`
	Config    HotUpdate `json:"config"`
	BootOrder any       `json:"bootorder"`
}

// HotUpdate is the config of the hot_update plugin.
type HotUpdate struct {
	// LoadPatchType is how the process learns of a new file: "signal", or
	// "none" if it watches the file by itself.
	LoadPatchType string  `json:"loadPatchType"`
	Signal        Signal  `json:"signal"`
	StorageConfig Storage `json:"storageConfig"`
	// FileDir is the directory of the files; default /app/downloads.
	FileDir string `json:"fileDir"`
}

// Signal says which process gets which signal.
type Signal struct {
	ProcessName string `json:"processName"`
	SignalName  string `json:"signalName"`
	// Wait is how long a process may take to appear, as in "5s".
	Wait string `json:"wait"`
}

// Storage says where results are recorded.
type Storage struct {
	Type   string `json:"type"`
	InKube InKube `json:"inKube"`
}

// InKube names the annotation and the ConfigMap.
type InKube struct {
	AnnotationKey string `json:"annotationKey"`
	// ConfigMap is "namespace/name", or "name" in the pod's own namespace;
	// default kube-system/sidecar-result.
	ConfigMap string `json:"configMap"`
}

// Auth is one of its fields.
type Auth struct {
	TokenReview     *TokenReview `json:"tokenReview"`
	BearerTokenFile string       `json:"bearerTokenFile"`
}

// TokenReview lets ServiceAccounts in, by their tokens.
type TokenReview struct {
	Audience string `json:"audience"`
	// AllowedServiceAccounts as "namespace:name".
	AllowedServiceAccounts []string `json:"allowedServiceAccounts"`
}

// Download limits one download.
type Download struct {
	MaxBytes int64  `json:"maxBytes"`
	Timeout  string `json:"timeout"`
	// AllowAddresses are prefixes such as 127.0.0.0/8 that would otherwise be
	// refused.
	AllowAddresses []string `json:"allowAddresses"`
}

// ReadConfig reads the first of files that exists. Keys it does not know are
// not errors, as with the existing sidecar, but are named in warnings.
func ReadConfig(files ...string) (c Config, warnings []string, err error) {
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return c, nil, fmt.Errorf("read the config: %w", err)
		}
		c, warnings, err = ParseConfig(doc)
		if err != nil {
			err = fmt.Errorf("config %s: %w", file, err)
		}
		return c, warnings, err
	}
	return c, nil, fmt.Errorf("no config: none of %s exists", strings.Join(files, ", "))
}

// ParseConfig reads a config file's content.
func ParseConfig(doc []byte) (c Config, warnings []string, err error) {
	asJSON, err := yaml.YAMLToJSON(doc)
	if err != nil {
		return c, nil, err
	}
	unknown, err := strictjson.UnmarshalStrict(asJSON, &c)
	if err != nil {
		return c, nil, err
	}
	for _, w := range unknown {
		warnings = append(warnings, w.Error()+" is not used")
	}
	for _, p := range c.Plugins {
		if p.Name != pluginName {
			warnings = append(warnings, fmt.Sprintf("plugin %q is not offered, only %s is", p.Name, pluginName))
		}
	}
	return c, warnings, nil
}

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

// signaller is who is told, nil if nobody is.
func (h HotUpdate) signaller() (*signaller, error) {
	switch h.LoadPatchType {
	case "none":
		return nil, nil
	case "signal":
	default:
		return nil, fmt.Errorf("loadPatchType %q is not offered: use signal, or none", h.LoadPatchType)
	}
	if h.Signal.ProcessName == "" {
		return nil, errors.New("signal.processName is missing: name the process, as in 'nginx: master process nginx'")
	}
	number, err := process.Signal(h.Signal.SignalName)
	if err != nil {
		return nil, fmt.Errorf("signal.signalName: %w", err)
	}
	wait, err := duration(h.Signal.Wait, defaultWait)
	if err != nil || wait > maxSignalWait {
		return nil, fmt.Errorf("signal.wait: want up to %s, got %q", maxSignalWait, h.Signal.Wait)
	}
	return &signaller{name: h.Signal.ProcessName, signal: number, wait: wait}, nil
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
	limits := download.Limits{Bytes: d.MaxBytes}
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
	limits.Allow, err = d.prefixes()
	return limits, err
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
