package sidecar

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
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
	defaultHold     = time.Minute
	maxHold         = 10 * time.Minute
	seedNamespace   = "kube-system"
	seedConfigMap   = "sidecar-result"
	defaultAudience = "hotpatch-sidecar"
)

// Config is the config file: the existing sidecar's, whose keys all stand
// below plugins, and our own additions beside them.
type Config struct {
	Plugins []Plugin `json:"plugins"`
	// Auth says who may post; nil: everyone, as with the existing sidecar.
	Auth *Auth `json:"auth"`
	// TLS has the port speak HTTPS; nil: HTTP, as with the existing sidecar.
	TLS *TLS `json:"tls"`
	// Download limits what is fetched.
	Download Download `json:"download"`
	// Restore is of the start.
	Restore Restore `json:"restore"`

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
	// LoadPatchType is how the process learns of a new file: "signal",
	// "request", or "none" if it watches the file by itself.
	LoadPatchType string  `json:"loadPatchType"`
	Signal        Signal  `json:"signal"`
	Request       Request `json:"request"`
	// Check looks whether the process has taken the file; nil: it is believed.
	Check         *Check  `json:"check"`
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

// Request says what is asked of the process: an HTTP request with the form
// fields version, path and sha256, or, with Send, a text over TCP.
type Request struct {
	Address string `json:"address"` // default 127.0.0.1
	Port    any    `json:"port"`    // a number, or one in quotes
	Path    string `json:"path"`    // of the URL; default /
	Method  string `json:"method"`  // default POST
	// Send is said over TCP, and Expect a regular expression of the answer.
	Send   string `json:"send"`
	Expect string `json:"expect"`
	// Wait is how long the process may take to listen and to answer.
	Wait string `json:"wait"`
}

// Check is where to look after the process was told: a URL of the pod, or a
// file, where {pid} is the process's.
type Check struct {
	URL  string `json:"url"`
	File string `json:"file"`
	// Matches is a regular expression of what is found there; {version}, {path}
	// and {sha256} in it are the update's.
	Matches string `json:"matches"`
	// Wait is how long that may take, as in "10s".
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
	// Layout is "Versions", the existing sidecar's, or "Workloads": files by
	// digest, by which new pods of the workload begin.
	Layout string `json:"layout"`
}

// Auth is one of its fields.
type Auth struct {
	TokenReview     *TokenReview `json:"tokenReview"`
	BearerTokenFile string       `json:"bearerTokenFile"`
	// ClientCertificate lets in who shows a certificate signed by
	// tls.clientCAFile.
	ClientCertificate *ClientCertificate `json:"clientCertificate"`
}

// ClientCertificate names those who may post: DNS names and URIs of their
// certificates, or common names of those that have neither.
type ClientCertificate struct {
	AllowedNames []string `json:"allowedNames"`
}

// TLS are PEM files, read again when they change.
type TLS struct {
	CertFile     string `json:"certFile"`
	KeyFile      string `json:"keyFile"`
	ClientCAFile string `json:"clientCAFile"`
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
	// ByDigest is where content can be had by its digest, DIGEST/NAME below this
	// URL, if it cannot be had where it was first.
	ByDigest string `json:"byDigest"`
	// ByDigestTokenFile holds the token shown there and nowhere else, read for each
	// download.
	ByDigestTokenFile string `json:"byDigestTokenFile"`
	// AllowURLs are the only URLs that are fetched, with all below them; empty:
	// any.
	AllowURLs []string `json:"allowURLs"`
	// AllowAddresses are prefixes such as 127.0.0.0/8 that would otherwise be
	// refused.
	AllowAddresses []string `json:"allowAddresses"`
}

// Restore says how files come back at the start.
type Restore struct {
	// Hold is how long GET /readyz may say no while they are not in place, as in
	// "1m", which is the default; "0s" is not at all.
	Hold string `json:"hold"`
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
